"""The pytest plugin: fixtures `elsa_sandbox` and `elsa_tape`, marker `elsa`, option `--elsa-record`.

It is installed as a module of its own, beside the package: pytest imports the plugins of all that is installed, so this
one imports neither the package nor websockets before a test asks for a fixture.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from elsa_unscripted.sandbox import Sandbox

URL, TOKEN = "ELSA_UNSCRIPTED_URL", "ELSA_API_TOKEN"
ANY_TOKEN = "any-token"  # in place of a real one, wherever nothing is recorded
MODES = ("none", "once", "all")
LONGEST_NAME = 150  # characters of a test's name in that of its tape: file systems bound the latter
FOLDER = "tapes"  # beside the test's file: where tapes are that no marker names

# What the marker takes, and of which types: for a sandbox without a tape, and for one with a tape.
PLAYING: dict[str, tuple[type, ...]] = {"scenario": (str,), "greeting": (bool,), "assessment": (object,)}
TAPING: dict[str, tuple[type, ...]] = {
    "tape": (str, os.PathLike),
    "upstream": (str,),
    "keep_audio": (bool,),
    "strict": (bool,),
    "speed": (int, float, type(None)),
    "allow_unplayed": (bool,),
}

# The sandbox of a test, and whether its tape may have exchanges left at the end.
_used = pytest.StashKey["tuple[Sandbox, bool]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("elsa", "ELSA's unscripted API").addoption(
        "--elsa-record",
        choices=MODES,
        default="none",
        help="what elsa_tape does: none replays alone, and asks nobody (default); once records the tapes that are "
        "missing, from the real service; all records anew",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"elsa({', '.join(f'{name}=…' for name in (*PLAYING, *TAPING))}): what elsa_sandbox does, or elsa_tape; a test "
        "with this marker needs neither as an argument",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Gives the sandbox to a test that only has the marker."""
    names = getattr(item, "fixturenames", None)
    if names is not None and next(item.iter_markers("elsa"), None) and not {"elsa_sandbox", "elsa_tape"} & set(names):
        names.insert(0, "elsa_sandbox")


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Fails a test that has passed, and has not used up its tape."""
    sandbox, allow_unplayed = item.stash.get(_used, (None, True))
    if sandbox is None or allow_unplayed:
        return
    for exchange in sandbox.exchanges:
        _ = exchange.close_code  # waits for its end
    if sandbox.unplayed:
        left = "".join(f"\n  {line}" for line in sandbox.unplayed)
        pytest.fail(f"the test has not used up its tape; it left:{left}", pytrace=False)


@pytest.fixture
def elsa_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A fresh sandbox, in place of ELSA's service: $ELSA_UNSCRIPTED_URL and $ELSA_API_TOKEN lead there.

    The marker says what it does: `@pytest.mark.elsa(scenario="failed=too noisy")`.
    """
    options = _options(request.node)
    if "elsa_tape" in request.fixturenames:
        yield request.getfixturevalue("elsa_tape")
    elif "tape" in options:
        yield from _with_tape(request, options)
    else:
        _refuse(options, TAPING, "goes with a tape: name it, or ask for the fixture elsa_tape")
        yield from _started(_make(options), ANY_TOKEN)


@pytest.fixture
def elsa_tape(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox that replays a tape, or records it: see `--elsa-record`.

    The marker names the tape, relative to the test's file: `@pytest.mark.elsa(tape="tapes/anna.jsonl")`. Without it, it
    is named after the test.
    """
    yield from _with_tape(request, _options(request.node))


def _with_tape(request: pytest.FixtureRequest, options: dict[str, Any]) -> Iterator[Sandbox]:
    _refuse(options, PLAYING, "doesn't go with a tape, which has the answers")
    allow_unplayed = options.pop("allow_unplayed", False)
    path = request.path.parent / (options.pop("tape", None) or _name(request.node))
    mode = request.config.getoption("--elsa-record")
    how: dict[str, Any]
    if mode == "none":
        if not path.exists():
            pytest.fail(f"there is no tape {path}; record it: pytest --elsa-record=once", pytrace=False)
        how = {"replay": path, "mode": "none"}
    else:
        how = _how_to_record(request, path, mode)
        if "upstream" not in options and os.environ.get(URL):
            options["upstream"] = os.environ[URL]
    sandbox = _make({**options, **how})
    request.node.stash[_used] = sandbox, allow_unplayed
    yield from _started(sandbox, os.environ[TOKEN] if sandbox.records else ANY_TOKEN)


def _how_to_record(request: pytest.FixtureRequest, path: Path, mode: str) -> dict[str, Any]:
    """Returns the options for a tape in the modes `once` and `all`.

    The first test that records a tape leaves a mark for the others, which add to the tape. The mark is a file in the
    temporary folder of this run of pytest, as with pytest-xdist the others may be in other processes.
    """
    folder: Path = request.getfixturevalue("tmp_path_factory").getbasetemp()
    is_worker = hasattr(request.config, "workerinput")  # of pytest-xdist
    if is_worker:
        folder = folder.parent  # that of all workers
    mark = folder / f"elsa-{hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:16]}"
    # The tape first, then the mark: a tape that another test of this run has written has a mark already.
    if mode == "once" and path.exists() and path.stat().st_size and not mark.exists():
        return {"replay": path, "mode": "none"}
    if not os.environ.get(TOKEN):
        pytest.fail(f"to record {path}, set ${TOKEN} to a token of the real service", pytrace=False)
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return {"record": path}
    if mode == "all" and not is_worker:
        return {"record": path, "mode": "all"}
    if mode == "all" and path.is_file():
        path.unlink()  # at once: at this test's first exchange, other workers may have added to it
    return {"record": path}


def _started(sandbox: Sandbox, token: str) -> Iterator[Sandbox]:
    with sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL, sandbox.url)
        patch.setenv(TOKEN, token)
        yield sandbox


def _make(options: dict[str, Any]) -> Sandbox:
    try:
        from elsa_unscripted.sandbox import Sandbox

        return Sandbox(**options)
    except (ImportError, ValueError, TypeError, OSError) as error:
        pytest.fail(str(error), pytrace=False)


def _options(item: Any) -> dict[str, Any]:
    """Returns what the markers of a test say; one at the test itself comes before one at its class or module."""
    options: dict[str, Any] = {}
    for mark in item.iter_markers("elsa"):
        unknown = [name for name in mark.kwargs if name not in (*PLAYING, *TAPING)]
        if mark.args or unknown:
            what = unknown[0] if unknown else repr(mark.args[0])
            pytest.fail(f"the marker elsa takes {', '.join((*PLAYING, *TAPING))}, by name; not {what}", pytrace=False)
        for name, value in mark.kwargs.items():
            types = {**PLAYING, **TAPING}[name]
            if not isinstance(value, types):
                words = " or ".join("None" if each is type(None) else each.__name__ for each in types)
                pytest.fail(f"in the marker elsa, {name} must be {words}, not {value!r}", pytrace=False)
        options = {**mark.kwargs, **options}
    return options


def _refuse(options: dict[str, Any], names: Iterable[str], why: str) -> None:
    for name in names:
        if name in options:
            pytest.fail(f"in the marker elsa, {name} {why}", pytrace=False)


def _name(item: Any) -> Path:
    """Returns where the tape of a test is, beside its file: one for each test and each of its parameters."""
    inside = item.nodeid.partition("::")[2].replace("::", ".")
    name = re.sub(r"[^-.[\]\w]+", "_", inside)[:LONGEST_NAME]
    if name != inside:  # two names must not become one
        name += f"-{hashlib.sha256(inside.encode()).hexdigest()[:8]}"
    return Path(FOLDER, item.path.stem, f"{name}.jsonl")
