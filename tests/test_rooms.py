"""The rooms of the package: who may import what, and that the public names are what they say."""

from __future__ import annotations

import ast
import importlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import elsa_unscripted

ROOT = pathlib.Path(elsa_unscripted.__file__).parent

# DESIGN.md's table, top to bottom. Where it says "the above", every room further up is listed.
BELOW_ALL = ["version", "exceptions", "deadline", "mailbox"]
ROOMS: dict[str, list[str]] = {
    "version": [],
    "exceptions": [],
    "deadline": [],
    # Not in the table: beside `deadline`, the other half of every wait for another thread.
    "mailbox": ["deadline"],
    "config": ["exceptions"],
    "messages": ["exceptions"],
    "assessment": [],
    # `report`, which is below it: `ScoreResult.to_html()` imports it when it is called.
    "result": ["assessment", "exceptions", "report"],
    "protocol": ["messages", "result", "exceptions"],
    # Not in the table: the container that `audio` reads and writes.
    "wav": ["exceptions"],
    "audio": ["config", "exceptions", "wav"],
    "sender": ["mailbox"],
    # Not in the table: the part of `transport`'s job below the WebSocket; `deadline` is there for every wait.
    "wire": ["deadline", "exceptions"],
    "transport": ["messages", "config", "exceptions", "deadline", "mailbox", "wire"],
    "client": [
        *BELOW_ALL,
        *["config", "messages", "assessment", "result", "protocol", "wav", "audio", "sender", "wire", "transport"],
    ],
    "journal": ["result", "exceptions", "version"],
    # `audio` for how long a recording is, `result` and `exceptions` for what a batch yields, beside the table's.
    "batch": ["journal", "client", "config", "audio", "deadline", "mailbox", "result", "exceptions"],
    # `messages` and `result` beside the table's: they name the types of its signature and nothing else.
    "api": ["client", "batch", "config", "messages", "result"],
    "summary": ["assessment", "result"],
    # `summary` beside the table's: both tell the same in the same words, and make text of the server harmless alike.
    "report": ["assessment", "result", "journal", "audio", "exceptions", "summary", "version"],
    # "The above", and `sandbox`, which is beside it: `elsa-unscripted sandbox` has to start it.
    "cli": [
        *BELOW_ALL,
        *[
            "config",
            "messages",
            "assessment",
            "result",
            "protocol",
            "wav",
            "audio",
            "sender",
            "wire",
            "transport",
            "client",
        ],
        *["journal", "batch", "api", "summary", "report", "sandbox"],
    ],
    "sandbox": [],
    "__init__": ["api", "batch", "client", "config", "exceptions", "result", "version"],
    "__main__": ["cli"],
}

# Packages that only some rooms may use; who isn't listed is free to everyone (the standard library).
FOREIGN = {
    "websocket": {"transport"},
    "pydub": {"audio", "sandbox"},
    "av": {"audio"},
    "tqdm": {"cli"},
    "dask": {"cli"},
    "websockets": {"sandbox"},
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


def imports() -> Iterator[Import]:
    """Yields each imported module, absolute, `elsa_unscripted.x` for `from . import x`."""
    for room, path in files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        guarded = {
            id(node)
            for test in ast.walk(tree)
            if isinstance(test, ast.If) and ast.unparse(test.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
            for statement in test.body
            for node in ast.walk(statement)
        }
        package = ["elsa_unscripted", *path.relative_to(ROOT).parts[:-1]]
        for node in ast.walk(tree):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(room, where, alias.name, id(node) in guarded)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                base = base + (node.module.split(".") if node.module else [])
                for alias in node.names:
                    yield Import(room, where, ".".join([*base, alias.name]), id(node) in guarded)
            elif room == "__init__" and isinstance(node, ast.Call):
                continue  # its lazy imports are those of its TYPE_CHECKING block, as a test below holds
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                assert isinstance(node.args[0], ast.Constant), f"{where} imports what can't be read off: {node.args[0]}"
                yield Import(room, where, str(node.args[0].value), False)


def test_every_module_has_its_room() -> None:
    """A module that the table doesn't know is refused: a new noun needs a place in it first."""
    assert {room for room, _ in files()} <= set(ROOMS)


def test_the_table_points_upward() -> None:
    """A room may only import rooms above it in the table, so that there is no way round in a circle."""
    order = list(ROOMS)
    for room, allowed in ROOMS.items():
        below = [name for name in allowed if order.index(name) >= order.index(room)]
        assert below == {"cli": ["sandbox"], "result": ["report"]}.get(room, [])


def test_rooms_import_only_what_the_table_allows() -> None:
    """Each module imports from the package exactly what the table lets it; only annotations may need more."""
    wrong = []
    for found in imports():
        parts = found.target.split(".")
        if parts[0] != "elsa_unscripted" or found.annotations_only:
            continue
        target = parts[1] if len(parts) > 1 and parts[1] in ROOMS else "__init__"
        if target != found.room and target not in ROOMS.get(found.room, []):
            wrong.append(f"{found.where} imports {target}")
    assert wrong == []


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
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write", "sys.stderr.write")
    ]
    assert prints == []


def test_public_names_are_those_that_are_exported() -> None:
    """`__all__`, what a type checker sees and what is imported on first use are the same names, each from its room."""
    seen = [found.target.split(".")[1:] for found in imports() if found.room == "__init__" and found.annotations_only]
    homes = {name: room for room, name in seen if room != "TYPE_CHECKING"}
    assert sorted(elsa_unscripted.__all__) == sorted([*homes, "__version__"])
    for name, room in homes.items():
        assert getattr(elsa_unscripted, name) is getattr(importlib.import_module(f"elsa_unscripted.{room}"), name)
    assert set(elsa_unscripted.__all__) <= set(dir(elsa_unscripted))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = elsa_unscripted.nothing_of_the_kind


@pytest.mark.parametrize("name", ["exceptions", "config", "messages", "result", "assessment"])
def test_modules_export_what_they_say(name: str) -> None:
    """The `__all__` of a module names what is there, and no name twice."""
    module = importlib.import_module(f"elsa_unscripted.{name}")
    assert len(set(module.__all__)) == len(module.__all__)
    assert [each for each in module.__all__ if not hasattr(module, each)] == []


def test_every_error_is_public() -> None:
    """Whatever the package raises on purpose can be named in an `except` without a private import."""
    assert set(elsa_unscripted.exceptions.__all__) <= set(elsa_unscripted.__all__)


def test_importing_the_package_is_light() -> None:
    """`import elsa_unscripted` loads neither the decoder, nor the progress bar, nor any extra."""
    heavy = {"pydub", "tqdm", "av", "websockets", "jinja2"}
    script = f"import sys, elsa_unscripted; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.split() == []
