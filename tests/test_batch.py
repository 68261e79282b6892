"""`score_many()` on threads of its own: what it yields, when it sends, what it counts, and how it ends."""

from __future__ import annotations

import copy
import gc
import itertools
import json
import logging
import os
import pickle
import shutil
import signal
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Optional

import pytest
from addresses import closed_port
from batches import TOKEN, Choosy, lines, recordings, sha256
from commands import posix
from leaks import watching_for

from elsa_unscripted import (
    AudioError,
    AuthenticationError,
    BadQualityError,
    Batch,
    BatchProgress,
    BudgetError,
    ConfigError,
    ConnectError,
    JournalError,
    Outcome,
    RateLimitedError,
    ScoreTimeoutError,
    ScoringFailedError,
    StreamClosedError,
    score_many,
)
from elsa_unscripted.batch import ListedPath, SlowPaths, budget, fate, run, throttle
from elsa_unscripted.journal import Journal, read
from elsa_unscripted.sandbox import Sandbox
from elsa_unscripted.sandbox.pages import page

GUARD = 60.0  # s: nothing here takes more than a few


def batch(audio: Any, sandbox: Sandbox, **options: Any) -> Batch:
    return score_many(audio, **{"token": TOKEN, "url": sandbox.url, "speed": None, **options})


def successes(outcomes: Any) -> list[Any]:
    """Returns the paths, sorted; fails if there is an error among them."""
    found = list(outcomes)
    assert [outcome.error for outcome in found if outcome.error is not None] == []
    return sorted(outcome.path for outcome in found)


def own_threads() -> list[threading.Thread]:
    return [
        thread for thread in threading.enumerate() if thread.name.startswith("elsa-") and "sandbox" not in thread.name
    ]


def heard(sandbox: Sandbox) -> Counter[bytes]:
    """Returns how often the sandbox has got each recording."""
    return Counter(exchange.pcm for exchange in sandbox.exchanges)


@pytest.fixture(name="journal")
def _journal(tmp_path: Path) -> Path:
    return tmp_path / "scores.jsonl"


# What it yields.


def test_every_recording_has_an_outcome(tmp_path: Path, journal: Path) -> None:
    """Each path is yielded once, with its result, and each recording is sent once, whole."""
    paths = recordings(tmp_path, 20)
    with Sandbox() as sandbox:
        outcomes = list(batch(map(Path, paths), sandbox, max_workers=5, journal=journal))
        assert set(heard(sandbox).values()) == {1}
    assert sorted(outcome.path for outcome in outcomes) == sorted(map(Path, paths))
    for outcome in outcomes:
        assert outcome.result is not None
        assert (outcome.error, outcome.attempts, outcome.from_journal) == (None, 1, False)
        assert outcome.sha256 == sha256(outcome.path)
        assert 0 < outcome.seconds < GUARD
    assert len({outcome.result.stream_id for outcome in outcomes if outcome.result}) == 20


def test_one_error_stops_no_other(tmp_path: Path, journal: Path) -> None:
    """Missing, unreadable and foreign files are outcomes with an error that names them, among the others."""
    paths = recordings(tmp_path, 3)
    junk = tmp_path / "junk.wav"
    junk.write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    wrong = [str(tmp_path / "missing.wav"), str(tmp_path), str(junk), os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")]
    with Sandbox() as sandbox:
        for place in (journal, None):
            outcomes = {each.path: each for each in batch([*wrong, *paths], sandbox, journal=place)}
            assert set(outcomes) == {*wrong, *paths}
            for path in wrong:
                error = outcomes[path].error
                assert isinstance(error, AudioError)
                assert repr(path) in str(error)
                assert outcomes[path].attempts == 0
            assert all(outcomes[path].result is not None for path in paths)
        assert len(sandbox.exchanges) == 6
    # Each has its line; what couldn't be read has no content to be known by.
    assert sorted(line["path"] for line in lines(journal)) == sorted([*wrong, *paths])
    unread = [line for line in lines(journal) if line["sha256"] is None]
    assert {line["path"] for line in unread} == set(wrong) - {str(junk)}
    assert {line["path"]: line["error"]["missing"] for line in unread} == {
        path: path != str(tmp_path) for path in wrong if path != str(junk)
    }


def test_names_that_are_not_utf8(tmp_path: Path, journal: Path) -> None:
    """A file name is bytes: any is scored, yielded and kept as it was given."""
    (path,) = recordings(tmp_path, 1)
    name = os.fsencode(tmp_path) + b"/caf\xe9\n.wav"
    try:
        os.rename(path, os.fsdecode(name))
    except OSError:
        pytest.skip("this file system takes no such names")
    with Sandbox() as sandbox:
        (outcome,) = batch([name], sandbox, journal=journal)  # bytes, as os.listdir() may give them
    assert os.fsencode(outcome.path) == name
    assert [os.fsencode(entry.path) for entry in read(journal)] == [name]


def test_verdicts_against_are_outcomes(tmp_path: Path, journal: Path) -> None:
    """A recording that the server rejects is yielded with that error, and is in the journal with all it tells."""
    with Sandbox("failed=too noisy") as sandbox:
        outcomes = list(batch(recordings(tmp_path, 2), sandbox, journal=journal))
    for outcome in outcomes:
        assert isinstance(outcome.error, ScoringFailedError)
        assert (outcome.error.reason, outcome.result, outcome.attempts) == ("too noisy", None, 1)
    for entry in read(journal):
        assert isinstance(entry.error, ScoringFailedError)
        assert (entry.error.reason, entry.error.possibly_billed, entry.audio_seconds) == ("too noisy", True, 0.1)


def test_slow_paths_are_polled(tmp_path: Path, journal: Path) -> None:
    """While paths that come slowly have none, what has finished is yielded; to iterate over them waits instead."""
    paths = recordings(tmp_path, 3)
    done: list[str] = []

    def slow() -> Iterator[Optional[str]]:
        for path in paths:
            while len(done) < paths.index(path):
                yield None
            yield path

    with Sandbox() as sandbox:
        for outcome in batch(SlowPaths(slow()), sandbox, journal=journal):
            done.append(outcome.path)
    assert done == paths
    assert list(SlowPaths(iter([None, "a.wav", None, "b.wav"]))) == ["a.wav", "b.wav"]


def test_nothing_at_all() -> None:
    """No paths are no outcomes."""
    with Sandbox() as sandbox:
        assert list(batch([], sandbox)) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"audio": "a.wav"}, "iterable of paths"),
        ({"audio": b"a.wav"}, "iterable of paths"),
        ({"audio": Path("a.wav")}, "iterable of paths"),
        ({"audio": 3}, "iterable of paths"),
        ({"max_workers": 0}, "max_workers"),
        ({"max_workers": 2.5}, "max_workers"),
        ({"max_workers": True}, "max_workers"),
        ({"executor": object()}, "executor"),
        ({"stream_retries": -1}, "stream_retries"),
        ({"max_audio_seconds": float("nan")}, "max_audio_seconds"),
        ({"max_audio_seconds": "1"}, "max_audio_seconds"),
        ({"billable_unit_seconds": 0}, "billable_unit_seconds"),
        ({"retry_failed": "no"}, "retry_failed"),
        ({"on_progress": 1}, "on_progress"),
        ({"speed": 0}, "speed"),
        ({"token": ""}, "token"),
        ({"url": "ws://example.com/"}, "wss"),
    ],
)
def test_a_bad_option_is_an_error_at_once(options: dict[str, Any], complaint: str, journal: Path) -> None:
    """A wrong option is a `ConfigError` at the call: nothing is drawn, and no journal is begun."""
    paths = iter(["a.wav"])
    with pytest.raises(ConfigError, match=complaint):
        score_many(**{"audio": paths, "token": TOKEN, "journal": journal, **options})
    assert list(paths) == ["a.wav"]
    assert not journal.exists()


# Lazy, and bounded.


def test_paths_are_drawn_when_there_is_a_place(tmp_path: Path) -> None:
    """No more paths are drawn than can be in flight, from an endless iterator as well."""
    paths = recordings(tmp_path, 3)
    drawn = 0

    def endless() -> Iterator[str]:
        nonlocal drawn
        for path in itertools.cycle(paths):
            drawn += 1
            yield path

    with Sandbox() as sandbox:
        scores = batch(endless(), sandbox, max_workers=3)
        assert drawn == 0
        for number in range(20):
            next(scores)
            # Those in flight, and those that ended together with the one that was yielded.
            assert drawn <= number + 1 + 2 * 3
        scores.close()


def test_a_slow_caller_is_waited_for(tmp_path: Path) -> None:
    """While the caller is busy with an outcome, no more are made than it can take in a while."""
    paths = recordings(tmp_path, 1)
    with Sandbox() as sandbox, batch(itertools.repeat(paths[0]), sandbox, max_workers=2) as scores:
        for _ in range(8):
            next(scores)
            time.sleep(0.2)
        assert len(sandbox.exchanges) <= 8 + 2 + 2 + 1
        scores.close()
        assert own_threads() == []


def test_slow_paths_keep_nothing_from_the_journal(tmp_path: Path, journal: Path) -> None:
    """What has finished while the next path was waited for is in the journal before another is asked for."""
    paths = recordings(tmp_path, 3)
    written: list[Any] = []

    def slow() -> Iterator[str]:
        yield paths[0]
        deadline = time.monotonic() + GUARD
        while not (sandbox.exchanges and sandbox.exchanges[0].finished.is_set()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)
        yield paths[1]
        written.extend(lines(journal))
        yield paths[2]

    with Sandbox() as sandbox:
        assert len(successes(batch(slow(), sandbox, journal=journal))) == 3
    assert [line["path"] for line in written] == paths[:1]


def test_as_many_at_once_as_allowed(tmp_path: Path) -> None:
    """`max_workers` recordings are in flight, and never more."""
    most = 0

    def note(progress: BatchProgress) -> None:
        nonlocal most
        most = max(most, progress.in_flight)

    with Sandbox("slow=0.2") as sandbox:
        assert len(successes(batch(recordings(tmp_path, 12), sandbox, max_workers=4, on_progress=note))) == 12
    assert most == 4


@pytest.mark.slow
def test_memory_is_flat(tmp_path: Path, journal: Path) -> None:
    """Thousands of paths take no more memory than a thousand."""
    (path,) = recordings(tmp_path, 1, seconds=0.001)
    with Sandbox() as sandbox:
        list(batch([path], sandbox, journal=journal))
        scores = batch(itertools.repeat(path, 4_000), sandbox, journal=journal)
        assert sum(1 for _ in itertools.islice(scores, 500)) == 500
        tracemalloc.start()
        try:
            assert sum(1 for _ in itertools.islice(scores, 1000)) == 1000
            before = tracemalloc.get_traced_memory()[0]
            assert sum(1 for _ in itertools.islice(scores, 2000)) == 2000
            assert tracemalloc.get_traced_memory()[0] - before < 20_000  # ten bytes for each
        finally:
            tracemalloc.stop()
        assert sum(1 for _ in scores) == 500
        assert len(sandbox.exchanges) == 1


# The journal.


def test_on_the_disk_before_it_is_yielded(tmp_path: Path, journal: Path) -> None:
    """When an outcome is yielded, its line is in the file already."""
    with Sandbox() as sandbox:
        for outcome in batch(recordings(tmp_path, 10), sandbox, journal=journal):
            assert outcome.path in [entry.path for entry in read(journal)]


def test_resume(tmp_path: Path, journal: Path) -> None:
    """What is in the journal by content is not sent again, whatever it is called now; what has changed is."""
    paths = recordings(tmp_path, 4)
    with Sandbox() as sandbox:
        first = {outcome.path: outcome for outcome in batch(paths, sandbox, journal=journal)}
        renamed = str(tmp_path / "renamed.wav")
        os.rename(paths[0], renamed)
        shutil.copy(paths[1], paths[2])
        changed = bytearray(Path(paths[3]).read_bytes())
        changed[-1] ^= 1
        Path(paths[3]).write_bytes(changed)
        with batch([renamed, *paths[1:]], sandbox, journal=journal) as scores:
            second = {outcome.path: outcome for outcome in scores}
            assert (scores.progress.resumed, scores.progress.succeeded) == (3, 1)
            assert scores.billable_seconds == 15
        assert len(sandbox.exchanges) == 5
    assert [path for path, outcome in second.items() if not outcome.from_journal] == [paths[3]]
    old, new = first[paths[0]].result, second[renamed].result
    assert old is not None
    assert new is not None
    assert (dict(new), new.stream_id, new.timings) == (dict(old), old.stream_id, old.timings)
    assert (second[renamed].attempts, second[renamed].sha256) == (0, first[paths[0]].sha256)
    assert sorted(line["path"] for line in lines(journal) if line["attempts"]) == [*paths, paths[3]]
    unsent = [(line["path"], line.get("renamed_from"), line.get("same_as")) for line in lines(journal)[4:]]
    assert (renamed, paths[0], None) in unsent
    assert (paths[2], None, paths[1]) in unsent


def test_other_options_are_another_result(tmp_path: Path, journal: Path) -> None:
    """Options that change the result make another recording of it; those that don't, don't."""
    paths = recordings(tmp_path, 1)
    with Sandbox() as sandbox:
        for options in ({}, {"api_plan": "premium"}, {"extra": {"a": 1}}, {"return_json": False}):
            for speed in (None, 100.0):
                list(batch(paths, sandbox, journal=journal, **{"speed": speed, **options}))
        assert len(sandbox.exchanges) == 4


def test_failed_ones_are_tried_again_when_asked(tmp_path: Path, journal: Path) -> None:
    """A failure in the journal is told, not repeated; with `retry_failed="all"` it is, once for each path."""
    paths = recordings(tmp_path, 2)
    with Sandbox("failed=no", port=closed_port()) as sandbox:
        url = sandbox.url
        list(batch(paths, sandbox, journal=journal))
        with batch(paths, sandbox, journal=journal) as scores:
            for outcome in scores:
                assert isinstance(outcome.error, ScoringFailedError)
                assert (outcome.error.reason, outcome.from_journal, outcome.attempts) == ("no", True, 0)
            assert (scores.progress.skipped, scores.progress.failed) == (2, 0)
        assert sandbox.handshakes == 2
        with batch(paths * 2, sandbox, journal=journal, retry_failed="all") as again:
            assert len([outcome for outcome in again if outcome.error]) == 4
            assert (again.progress.skipped, again.progress.failed) == (2, 2)
        assert sandbox.handshakes == 4
    with Sandbox(port=sandbox.port) as sandbox:
        assert sandbox.url == url
        assert successes(batch(paths, sandbox, journal=journal, retry_failed="all")) == paths
        assert successes(batch(paths, sandbox, journal=journal)) == paths
        assert sandbox.handshakes == 2


def test_the_same_content_twice(tmp_path: Path, journal: Path) -> None:
    """With a journal, two files of one content are scored once; without, each is."""
    (path,) = recordings(tmp_path, 1)
    copy = str(tmp_path / "copy.wav")
    shutil.copy(path, copy)
    with Sandbox() as sandbox:
        outcomes = list(batch([path, copy, path], sandbox, journal=journal))
        assert sorted(outcome.path for outcome in outcomes) == sorted([path, copy, path])
        assert sorted(outcome.from_journal for outcome in outcomes) == [False, True, True]
        assert len(sandbox.exchanges) == 1
        assert sorted(line["path"] for line in lines(journal)) == sorted([path, copy])
        assert len(successes(batch([path, copy], sandbox))) == 2
        assert len(sandbox.exchanges) == 3


def kin(journal: Path) -> dict[str, Any]:
    """Returns, by path, what the newest line of each says of another of the same content."""
    return {line["path"]: line.get("same_as") or line.get("renamed_from") for line in lines(journal)}


def test_each_path_has_its_line(tmp_path: Path, journal: Path) -> None:
    """Each copy in a run has a line with the result and the name of the first; nothing is sent for it."""
    (path,) = recordings(tmp_path, 1)
    copies = [shutil.copy(path, tmp_path / f"copy {number}.wav") for number in range(3)]
    given = [path, *map(str, copies)]
    with Sandbox() as sandbox:
        outcomes = list(batch(given, sandbox, journal=journal))
        assert [outcome.same_as for outcome in sorted(outcomes, key=lambda each: each.path != path)] == [
            None,
            *[path] * 3,
        ]
        # Given twice in a run, a path is no result of an earlier run.
        twice = list(batch([path, path], sandbox, journal=tmp_path / "twice.jsonl"))
        assert sorted(outcome.same_as or "" for outcome in twice) == ["", path]
        assert len(lines(tmp_path / "twice.jsonl")) == 1
        # A later run says the same, and adds no line.
        assert {each.path: each.same_as for each in batch(given, sandbox, journal=journal)} == {
            each.path: each.same_as for each in outcomes
        }
        assert len(sandbox.exchanges) == 2
    assert kin(journal) == {path: None, **dict.fromkeys(given[1:], path)}
    assert [line["attempts"] for line in lines(journal)] == [1, 0, 0, 0]
    assert len({json.dumps(line["result"]) for line in lines(journal)}) == 1
    assert [entry.same_as for entry in read(journal)] == [None, path, path, path]


def test_what_was_renamed_is_still_one(tmp_path: Path, journal: Path) -> None:
    """Renamed, moved or spelt in another way between two runs, a recording is no copy; a copy of it is one."""
    (path,) = recordings(tmp_path, 1)
    names = [str(tmp_path / name) for name in ("second.wav", "third.wav", "copy.wav")]
    with Sandbox() as sandbox:
        list(batch([path], sandbox, journal=journal))
        os.rename(path, names[0])
        (outcome,) = batch([names[0]], sandbox, journal=journal)
        assert (outcome.from_journal, outcome.same_as) == (True, None)
        os.rename(names[0], names[1])
        shutil.copy(names[1], names[2])
        outcomes = list(batch(names[1:], sandbox, journal=journal))
        assert [outcome.same_as for outcome in outcomes] == [None, names[1]]
        list(batch([names[1].replace("third", "./third")], sandbox, journal=journal))
        os.rename(names[2], path)  # to a name that it had once
        list(batch([path], sandbox, journal=journal))
        assert len(sandbox.exchanges) == 1
    told = [(line["path"], line.get("renamed_from"), line.get("same_as")) for line in lines(journal)]
    assert told == [
        (path, None, None),
        (names[0], path, None),
        (names[1], names[0], None),
        (names[2], None, names[1]),
        (names[1].replace("third", "./third"), names[1], None),
        (path, names[2], None),
    ]


def test_a_copy_is_tried_again_with_its_twin(tmp_path: Path, journal: Path) -> None:
    """A copy of what failed gets a line with the result when its twin is scored in a later run, in whichever run."""
    (path,) = recordings(tmp_path, 1)
    copies = [str(shutil.copy(path, tmp_path / f"copy {number}.wav")) for number in range(2)]
    with Sandbox("bad-quality", port=closed_port()) as sandbox:
        assert len(list(batch([path, *copies], sandbox, journal=journal))) == 3
        list(batch([path, *copies], sandbox, journal=journal))
    with Sandbox(port=sandbox.port) as sandbox:
        successes(batch([path, copies[0]], sandbox, journal=journal, retry_failed="all"))
        outcomes = list(batch([path, *copies], sandbox, journal=journal))
        assert [(outcome.error, outcome.same_as) for outcome in outcomes] == [(None, None), (None, path), (None, path)]
        assert len(sandbox.exchanges) == 1
    told = [(line["path"], line["outcome"], line.get("same_as")) for line in lines(journal)]
    assert told == [
        *(
            (each, outcome, None if each == path else path)
            for outcome in ("error", "success")
            for each in (path, *copies)
        )
    ]


def test_a_copy_may_be_renamed_and_tried_again(tmp_path: Path, journal: Path) -> None:
    """A copy that was renamed is known as such also in a run that tries its twin again first."""
    (path,) = recordings(tmp_path, 1)
    copy, renamed = str(shutil.copy(path, tmp_path / "copy.wav")), str(tmp_path / "renamed.wav")
    with Sandbox("bad-quality") as sandbox:
        list(batch([path, copy], sandbox, journal=journal))
        os.rename(copy, renamed)
        list(batch([path, renamed], sandbox, journal=journal, retry_failed="all"))
        assert len(sandbox.exchanges) == 2
    told = [(line["path"], line.get("renamed_from"), line.get("same_as")) for line in lines(journal)]
    assert told == [(path, None, None), (copy, None, path), (path, None, None), (renamed, copy, None)]


def test_only_what_can_succeed_is_tried_again(tmp_path: Path, journal: Path) -> None:
    """`retry_failed=True` sends what is retryable: a broken stream, no unchanged bad recording; `"all"` sends that."""
    broken, bad = recordings(tmp_path, 2)
    with Sandbox("bad-quality", port=closed_port()) as sandbox:
        (outcome,) = batch([bad], sandbox, journal=journal, bad_quality_grace=0.1)
        assert outcome.error is not None
    with Sandbox("close=1011", port=sandbox.port) as sandbox:
        list(batch([broken, bad], sandbox, journal=journal))
        assert sandbox.handshakes == 1
    with Sandbox(port=sandbox.port) as sandbox:
        outcomes = {each.path: each for each in batch([broken, bad], sandbox, journal=journal, retry_failed=True)}
        assert (outcomes[broken].error, type(outcomes[bad].error), sandbox.handshakes) == (None, BadQualityError, 1)
        assert successes(batch([broken, bad], sandbox, journal=journal, retry_failed="all")) == [broken, bad]
        assert sandbox.handshakes == 2


def test_a_list_has_its_columns_in_the_journal(tmp_path: Path, journal: Path) -> None:
    """What a list says of a path stands in its line, whatever became of it: scored, a copy, missing."""
    (path,) = recordings(tmp_path, 1)
    copy, missing = str(tmp_path / "copy.wav"), str(tmp_path / "missing.wav")
    shutil.copy(path, copy)
    given = [ListedPath(each, {"name": each[-6:], "class": "7b"}) for each in (path, copy, missing)]
    with Sandbox() as sandbox:
        outcomes = list(batch(given, sandbox, journal=journal))
        assert all(isinstance(outcome.path, ListedPath) for outcome in outcomes)
        list(batch(given, sandbox, journal=journal))
    assert {entry.path: entry.columns for entry in read(journal)} == {str(each): each.columns for each in given}
    assert len(lines(journal)) == 3
    assert pickle.loads(pickle.dumps(given[0])).columns == given[0].columns


def test_a_list_may_give_one_path_to_two(tmp_path: Path, journal: Path) -> None:
    """Who has made a recording together is there twice, and paid for once; a list that comes later gives names."""
    (path,) = recordings(tmp_path, 1)
    pair = [ListedPath(path, {"name": name}) for name in ("Ana", "Ben")]
    with Sandbox() as sandbox:
        list(batch([path], sandbox, journal=journal))
        for _ in range(2):
            outcomes = list(batch(pair, sandbox, journal=journal))
            assert [outcome.path.columns["name"] for outcome in outcomes if outcome.result] == ["Ana", "Ben"]
        list(batch([path], sandbox, journal=journal))
        assert len(sandbox.exchanges) == 1
    told = [(entry.columns.get("name"), entry.renamed_from, entry.same_as) for entry in read(journal)]
    assert told == [(None, None, None), ("Ana", path, None), ("Ben", None, path)]


def test_the_second_of_two_goes_on_alone(tmp_path: Path, journal: Path) -> None:
    """A recording that waited for another of the same content is sent itself when that came to nothing."""
    (path,) = recordings(tmp_path, 1)
    with Choosy(lambda number: 503 if number == 0 else None) as sandbox:
        outcomes = list(batch([path, path], sandbox, journal=journal, connect_retries=0, retry_failed=False))
        # The failure is in the journal: the second doesn't repeat it.
        assert [type(outcome.error) for outcome in outcomes] == [ConnectError, ConnectError]
    journal.unlink()
    with Choosy(lambda number: 429 if number < 3 else None) as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fate, "MAX_REFUSALS", 3)
        patch.setattr(throttle, "FIRST_BACKOFF", 0.01)
        outcomes = list(batch([path, path], sandbox, journal=journal))
        assert [type(outcome.error) for outcome in outcomes] == [RateLimitedError, type(None)]
        assert [line["outcome"] for line in lines(journal)] == ["error", "success"]


def test_many_of_one_content_when_turned_away(tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings that wait for another of the same content don't keep it from its place, however few there are."""
    monkeypatch.setattr(throttle, "FIRST_BACKOFF", 0.01)
    (path,) = recordings(tmp_path, 1)
    with Choosy(lambda number: 429 if number < 3 else None) as sandbox:
        outcomes = list(batch([path] * 12, sandbox, journal=journal, max_workers=4))
        assert (successes(outcomes), len(sandbox.arrivals)) == ([path] * 12, 4)


def test_one_batch_at_a_time(tmp_path: Path, journal: Path) -> None:
    """A journal in use is refused at the call; it is free when its batch is over, closed or forgotten."""
    paths = recordings(tmp_path, 2)
    with Sandbox() as sandbox:
        scores = batch(paths, sandbox, journal=journal)
        with pytest.raises(JournalError, match="in use"):
            batch(paths, sandbox, journal=journal)
        assert len(list(scores)) == 2
        next(batch(paths, sandbox, journal=journal))
        with batch(paths, sandbox, journal=journal) as scores:
            assert next(scores).from_journal
            scores.close()
            assert len(list(batch(paths, sandbox, journal=journal))) == 2
            assert list(scores) == []


@posix
def test_a_journal_that_cannot_be_written(tmp_path: Path, journal: Path) -> None:
    """A journal that takes no more is an error at once; once it does again, the batch goes on, and nothing is lost."""
    paths = recordings(tmp_path, 6)
    aside = tmp_path / "aside"
    with Sandbox() as sandbox, batch(paths, sandbox, journal=journal, max_workers=2) as scores:
        outcomes = [next(scores)]
        journal.rename(aside)
        for _ in range(3):
            with pytest.raises(JournalError, match="put it back"):
                outcomes.extend(scores)
        aside.rename(journal)
        outcomes += scores
        assert successes(outcomes) == paths
        assert set(heard(sandbox).values()) == {1}
    assert sorted(line["path"] for line in lines(journal)) == paths


def test_a_journal_that_cannot_be_read(tmp_path: Path, journal: Path) -> None:
    """When a path is drawn and the journal can't be read, that is raised; once it can, the same path comes first."""
    paths = recordings(tmp_path, 2)
    with Sandbox() as sandbox:
        list(batch(paths, sandbox, journal=journal))
        content = journal.read_bytes()
        with batch(paths, sandbox, journal=journal) as scores:
            journal.write_bytes(b"\0" * len(content))
            for _ in range(2):
                with pytest.raises(JournalError, match="was changed"):
                    next(scores)
                assert scores.unfinished == 1
            journal.write_bytes(content)
            assert [outcome.path for outcome in scores] == paths
        assert len(sandbox.exchanges) == 2


@pytest.mark.parametrize("token", ["a-very-secret-token-1234", 'a-"secret"\\token/of-é-1234'])
def test_the_token_is_not_in_the_journal(token: str, tmp_path: Path, journal: Path) -> None:
    """Not even a server that quotes the token gets it into the journal, an outcome, a log or a repr."""
    with watching_for(token) as leaks, Sandbox(f"failed=you sent {token}") as sandbox:
        scores = batch(recordings(tmp_path, 2), sandbox, journal=journal, token=token)
        for outcome in scores:
            assert outcome.error is not None
            leaks.look_at(repr(outcome) + repr(scores) + repr(scores.progress))
            leaks.look_at_error(outcome.error)
    assert leaks.found == []
    assert leaks.lines > 10
    content = journal.read_text()
    assert "you sent" in content
    assert json.dumps(token)[1:-1] not in content


# Turned away.


@pytest.mark.slow(everywhere=True)
def test_the_whole_batch_backs_off(tmp_path: Path, journal: Path) -> None:
    """On a 429 nothing begins until `Retry-After` has passed, half as many at once, and step by step more again."""
    seen: list[BatchProgress] = []
    paths = recordings(tmp_path, 40)
    with Choosy(lambda number: 429 if number < 8 else None, together=8, Retry_After="1") as sandbox:
        outcomes = list(batch(paths, sandbox, journal=journal, max_workers=8, on_progress=seen.append))
        assert successes(outcomes) == paths
        assert set(heard(sandbox).values()) == {1}
        assert sandbox.arrivals[8] - sandbox.arrivals[7] > 0.9
    # The eight that were turned away had begun together: one decrease, one back-off.
    assert min(progress.concurrency for progress in seen) == 4
    assert seen[-1].concurrency > 4
    assert max(progress.waiting for progress in seen) > 0.5
    assert sum(outcome.attempts for outcome in outcomes) == 48
    assert len(lines(journal)) == 40


def test_turned_away_for_ever(tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends: a recording that is turned away again and again fails, and is not called done."""
    monkeypatch.setattr(fate, "MAX_REFUSALS", 3)
    monkeypatch.setattr(throttle, "FIRST_BACKOFF", 0.001)
    with Choosy(lambda number: 429) as sandbox:
        outcomes = list(batch(recordings(tmp_path, 4), sandbox, journal=journal, max_workers=4))
        assert len(sandbox.arrivals) == 12
    for outcome in outcomes:
        assert isinstance(outcome.error, RateLimitedError)
        assert outcome.attempts == 3
    assert {line["sha256"] for line in lines(journal)} == {None}
    with Sandbox() as calm:
        assert len(successes(batch(recordings(tmp_path, 4), calm, journal=journal))) == 4


def test_the_throttle_falls_and_rises() -> None:
    """Refusals halve the concurrency once for each moment, down to 1; as many passes as are at once add one."""
    steps = throttle.Throttle(8)
    steps.note_refused(time.monotonic(), 0.0)
    for _ in range(5):
        steps.note_refused(0.0, 0.0)  # began before the decrease
    assert steps.concurrency == 4
    for expected in (2, 1, 1):
        steps.note_refused(time.monotonic() + 1, 0.0)
        assert steps.concurrency == expected
    for expected in (2, 2, 3, 3, 3, 4):
        steps.note_passed()
        assert steps.concurrency == expected
    for _ in range(100):
        steps.note_passed()
    assert steps.concurrency == 8
    steps.note_refused(time.monotonic() + 1, 500.0)
    assert 490 < steps.waiting() <= 500


@pytest.mark.parametrize("value", ["86400", "1000", "milliseconds"])
def test_no_server_makes_a_batch_wait_for_a_day(value: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However long `Retry-After` is, a batch goes on after ten minutes; what was asked for and what is done is told."""
    value = f"{(time.time() + 86_400) * 1000:.0f}" if value == "milliseconds" else value
    with Choosy(lambda number: 429, Retry_After=value) as sandbox:
        scores = batch(recordings(tmp_path, 3), sandbox, max_workers=3)
        waits: list[float] = []

        def look(progress: BatchProgress) -> None:
            waits.append(progress.waiting)
            if progress.waiting:
                scores.stop()

        scores._on_progress = look
        assert list(scores) == []
    assert 590 < max(waits) <= 600
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert "goes on in 600 s" in told[0]


def test_a_firewalls_page_stops_no_batch(tmp_path: Path, journal: Path) -> None:
    """A 403 with a page is the error of one recording; the others are scored."""

    class Fenced(Choosy):
        async def _process_request(self, connection: Any, request: Any) -> Any:
            answer = await super()._process_request(connection, request)
            return None if answer is None else page(403, b"<html>Blocked</html>", "text/html")

    with Fenced(lambda number: 403 if number == 1 else None) as sandbox:
        outcomes = list(batch(recordings(tmp_path, 4), sandbox, journal=journal, max_workers=1))
    assert len([outcome for outcome in outcomes if outcome.error is None]) == 3
    (error,) = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert type(error) is ConnectError
    assert "Blocked" in str(error)


def test_a_refused_token_stops_the_batch(tmp_path: Path, journal: Path) -> None:
    """A 401 starts no more, lets those in flight finish, and is raised once; nothing of it is in the journal."""
    paths = recordings(tmp_path, 30)
    outcomes: list[Outcome] = []
    with Choosy(lambda number: 401 if number >= 6 else None, "slow=0.3") as sandbox:
        scores = batch(paths, sandbox, journal=journal, max_workers=8)
        with pytest.raises(AuthenticationError):
            outcomes.extend(scores)
        assert list(scores) == []
        assert len(sandbox.arrivals) == 8
        assert scores.unfinished == 2
    assert len(lines(journal)) == len(successes(outcomes)) == 6


# Sent again.


def test_a_connection_is_tried_again(tmp_path: Path) -> None:
    """What fails to connect is tried again, as often as `connect_retries` says: nothing was metered."""
    paths = recordings(tmp_path, 2)
    with Choosy(lambda number: 503 if number % 3 else None) as sandbox:
        outcomes = list(batch(paths, sandbox, max_workers=1))
        assert successes(outcomes) == paths
        assert [outcome.attempts for outcome in outcomes] == [1, 3]
    with Choosy(lambda number: 503) as sandbox:
        for retries, attempts in ((2, 3), (0, 1)):
            (outcome,) = batch(paths[:1], sandbox, connect_retries=retries)
            assert isinstance(outcome.error, ConnectError)
            assert (outcome.error.status_code, outcome.attempts) == (503, attempts)


def test_a_broken_stream_is_sent_again_only_when_asked(tmp_path: Path, journal: Path) -> None:
    """A stream is metered: it is sent again `stream_retries` times, by default never, and each one is counted."""
    (path,) = recordings(tmp_path, 1)
    with Sandbox("drop-after=1") as sandbox:
        for retries in (None, 0, 2):
            options = {} if retries is None else {"stream_retries": retries}
            with batch([path], sandbox, billable_unit_seconds=10, **options) as scores:
                (outcome,) = scores
                assert isinstance(outcome.error, StreamClosedError)
                assert outcome.attempts == 1 + (retries or 0)
                assert scores.billable_seconds == 10 * outcome.attempts
        assert len(sandbox.exchanges) == 1 + 1 + 3
        list(batch([path], sandbox, journal=journal, stream_retries=1))
    assert [(line["attempts"], line["outcome"]) for line in lines(journal)] == [(2, "error")]


def test_a_verdict_is_never_asked_for_twice(tmp_path: Path) -> None:
    """`failed`, and audio that is none, are final."""
    junk = tmp_path / "junk.wav"
    junk.write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    with Sandbox("failed") as sandbox:
        outcomes = list(batch([*recordings(tmp_path, 1), junk], sandbox, stream_retries=3))
        assert sorted(outcome.attempts for outcome in outcomes) == [0, 1]


# The budget.


def test_the_budget(tmp_path: Path, journal: Path) -> None:
    """What would pass `max_audio_seconds` is told, and not started; a shorter one that fits is; a new run goes on."""
    long = recordings(tmp_path, 3, seconds=1.0)
    (tmp_path / "short").mkdir()
    (short,) = recordings(tmp_path / "short", 1, seconds=0.4)
    with Sandbox() as sandbox:
        with batch([*long, short], sandbox, max_audio_seconds=2.5, journal=journal) as scores:
            outcomes = {outcome.path: outcome for outcome in scores}
            progress = scores.progress
        assert len(sandbox.exchanges) == 3
        assert (progress.succeeded, progress.skipped, progress.failed) == (3, 1, 0)
        assert progress.audio_seconds == pytest.approx(2.4)
        assert isinstance(outcomes[long[2]].error, BudgetError)
        assert (outcomes[long[2]].attempts, outcomes[short].error) == (0, None)
        assert [line["path"] for line in lines(journal) if line["sha256"] is None] == [long[2]]
        # What is in the journal costs nothing.
        assert successes(batch([*long, short], sandbox, max_audio_seconds=1, journal=journal)) == sorted([*long, short])
        assert len(sandbox.exchanges) == 4


def test_the_budget_counts_what_was_started(tmp_path: Path) -> None:
    """A stream that is sent again counts again; a connection that was refused doesn't."""
    paths = recordings(tmp_path, 3, seconds=1.0)
    with Sandbox("drop-after=1") as sandbox:
        outcomes = list(batch(paths, sandbox, max_workers=1, stream_retries=9, max_audio_seconds=4.5))
        assert len(sandbox.exchanges) == 4
        assert [type(outcome.error) for outcome in outcomes].count(BudgetError) == 2
    with Choosy(lambda number: 503 if number < 3 else None) as sandbox:
        outcomes = list(batch(paths, sandbox, max_workers=1, connect_retries=2, max_audio_seconds=2))
        assert [type(outcome.error) for outcome in outcomes] == [ConnectError, type(None), type(None)]


def test_the_budget_knows_compressed_audio(tmp_path: Path) -> None:
    """A recording whose header doesn't tell is decoded to know its length."""
    from recordings import encoded

    path = tmp_path / "speech.flac"
    path.write_bytes(encoded("flac"))
    with Sandbox() as sandbox:
        (outcome,) = batch([path], sandbox, max_audio_seconds=2.9)
        assert isinstance(outcome.error, BudgetError)
        assert successes(batch([path], sandbox, max_audio_seconds=3.1)) == [path]


def test_billable_units(tmp_path: Path) -> None:
    """The estimate is of started units, for each stream."""
    long = recordings(tmp_path, 2, seconds=1.0)
    with Sandbox() as sandbox:
        for unit, billed in ((15.0, 30), (1.0, 2), (0.3, 2 * 4 * 0.3)):
            with batch(long, sandbox, billable_unit_seconds=unit) as scores:
                list(scores)
                assert scores.billable_seconds == scores.progress.billable_seconds == pytest.approx(billed)


def test_what_is_sent_again_unmetered_is_reserved_once() -> None:
    """The budget has a reservation for each exchange; one that was not metered gives its own back first."""
    purse = budget.Budget(10.0, 15.0)
    purse.reserve(6.0)
    assert not purse.has_room(6.0)
    purse.release(6.0)
    assert purse.has_room(10.0)
    purse.reserve(10.0)
    purse.bill(0.0)
    purse.bill(15.1)
    assert (purse.has_room(0.1), purse.billable_seconds) == (False, 15.0 + 30.0)


def test_a_stream_that_was_not_metered_costs_no_budget(tmp_path: Path) -> None:
    """A stream that ends before any audio was sent is sent again with the same seconds of the budget."""
    options: dict[str, Any] = {"stream_retries": 2, "max_audio_seconds": 1.5, "timeout": 0.2}
    with Sandbox("silent") as sandbox:
        (outcome,) = batch(recordings(tmp_path, 1, seconds=1.0), sandbox, **options)
    assert isinstance(outcome.error, ScoreTimeoutError)
    assert (outcome.attempts, outcome.error.possibly_billed) == (3, False)


# Progress.


@pytest.mark.slow(everywhere=True)
def test_progress_is_told(tmp_path: Path) -> None:
    """`on_progress` is called in the caller's thread, at each change and once a second while there is none."""
    told: list[tuple[BatchProgress, threading.Thread]] = []
    with Sandbox("slow=2.5") as sandbox:
        list(
            batch(recordings(tmp_path, 2), sandbox, on_progress=lambda p: told.append((p, threading.current_thread())))
        )
    assert {thread for _, thread in told} == {threading.current_thread()}
    assert [progress.in_flight for progress, _ in told].count(2) >= 2
    assert (told[-1][0].in_flight, told[-1][0].succeeded) == (0, 2)
    assert told[-1][0].audio_seconds == pytest.approx(0.2)


# The end.


@pytest.mark.parametrize("journaled", [True, False])
def test_what_the_iterator_raises_comes_through(journaled: bool, tmp_path: Path, journal: Path) -> None:
    """An error of the caller's iterator is raised when those in flight have been yielded, and are in the journal."""
    paths = recordings(tmp_path, 3)

    def failing() -> Iterator[str]:
        yield from paths
        raise LookupError("no more rows")

    outcomes: list[Outcome] = []
    with Sandbox("slow=0.2") as sandbox:
        scores = batch(failing(), sandbox, journal=journal if journaled else None)
        with pytest.raises(LookupError, match="no more rows"):
            outcomes.extend(scores)
        assert successes(outcomes) == paths
        assert list(scores) == []
    assert not journaled or len(lines(journal)) == 3


@pytest.mark.parametrize("item", [None, 3, 2.5, ["a.wav"]])
def test_what_is_no_path_comes_through(item: Any, tmp_path: Path) -> None:
    """Something that is no path is the caller's mistake: a `TypeError`, after those in flight."""
    paths = recordings(tmp_path, 1)
    with Sandbox() as sandbox:
        scores = batch([*paths, item, *paths], sandbox)
        assert next(scores).result is not None
        with pytest.raises(TypeError):
            next(scores)


def test_what_the_callback_raises_comes_through(tmp_path: Path, journal: Path) -> None:
    """An error of `on_progress` starts no more, and is raised when those in flight have been yielded."""

    def callback(progress: BatchProgress) -> None:
        raise LookupError("no such widget")

    outcomes: list[Outcome] = []
    with Sandbox() as sandbox:
        with pytest.raises(LookupError, match="no such widget"):
            outcomes.extend(
                batch(recordings(tmp_path, 9), sandbox, journal=journal, max_workers=3, on_progress=callback)
            )
        # How many had begun when the callback was first called depends on how soon the first of them was done.
        assert 1 <= len(successes(outcomes)) <= 3
        assert len(successes(outcomes)) == len(lines(journal)) == len(sandbox.exchanges)


def test_a_callback_does_not_end_it_quietly(tmp_path: Path) -> None:
    """`StopIteration` of `on_progress` is an error, and no end of the batch."""
    with Sandbox() as sandbox:
        scores = batch(recordings(tmp_path, 9), sandbox, max_workers=3, on_progress=lambda _: next(iter(())))
        with pytest.raises(RuntimeError, match="StopIteration"):
            list(scores)


def test_stop_from_another_thread(tmp_path: Path, journal: Path) -> None:
    """`stop()` wakes a batch that waits, starts no more, and lets those in flight finish."""
    paths = recordings(tmp_path, 20)
    with Sandbox("slow=0.5") as sandbox:
        scores = batch(paths, sandbox, journal=journal, max_workers=4)
        timer = threading.Timer(0.3, scores.stop)
        timer.start()
        outcomes = successes(scores)
        timer.join()
        assert outcomes == paths[:4]
        assert (len(sandbox.exchanges), scores.unfinished) == (4, 0)
        assert successes(batch(paths[:6], sandbox, journal=journal)) == paths[:6]
        assert len(sandbox.exchanges) == 6


@pytest.mark.slow(everywhere=True)
@posix
@pytest.mark.interrupts
def test_stop_from_a_signal_handler(tmp_path: Path) -> None:
    """`stop()` in a signal handler, at any moment, neither blocks nor is missed."""
    paths = recordings(tmp_path, 2)
    with Sandbox() as sandbox:
        for delay in range(12):
            scores = batch(itertools.cycle(paths), sandbox, max_workers=2)
            handler = signal.signal(signal.SIGALRM, lambda *_: scores.stop())  # noqa: B023 - it ends with the round
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.02 + delay * 0.007, 0.0005)
                assert len(successes(scores)) < 1000
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, handler)
            assert own_threads() == []


def test_stop_does_not_wait_for_a_back_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that was told to wait for an hour stops at once, and counts what it gave up."""
    monkeypatch.setattr(run, "LONGEST_WAIT", 3600.0)
    with Choosy(lambda number: 429, Retry_After="3600") as sandbox:
        scores = batch(recordings(tmp_path, 9), sandbox, max_workers=3)
        timer = threading.Timer(0.5, scores.stop)
        timer.start()
        assert list(scores) == []
        timer.join()
        assert scores.unfinished == 3


class _LeaveError(BaseException):
    """What a signal handler raises to end a program."""


def test_leaving_cancels(tmp_path: Path, journal: Path) -> None:
    """Interrupted, a batch cancels what is in flight; its threads have ended, and the journal is free."""

    def leave(progress: BatchProgress) -> None:
        if len(sandbox.exchanges) == 4:
            raise _LeaveError

    with Sandbox("slow=3600") as sandbox:
        scores = batch(recordings(tmp_path, 8), sandbox, journal=journal, max_workers=4, on_progress=leave)
        with pytest.raises(_LeaveError):
            next(scores)
        assert own_threads() == []
        assert (scores.unfinished, list(scores)) == (4, [])
        codes = [exchange.close_code for exchange in sandbox.exchanges]
        # On a busy machine, a connection may be cut (1006) as its clean close took longer than an interruption waits.
        assert (len(codes), 1000 in codes, set(codes) <= {1000, 1006}) == (4, True, True)
    assert journal.read_bytes() == b""
    Journal(journal).close()


def test_what_ends_while_it_is_closed_is_kept(tmp_path: Path, journal: Path) -> None:
    """A verdict that has come when the batch is closed is in the journal: it was paid for."""
    paths = recordings(tmp_path, 6)
    with Sandbox() as sandbox:
        scores = batch(paths, sandbox, journal=journal, max_workers=6)
        next(scores)
        guard = time.monotonic() + GUARD
        while own_threads() and time.monotonic() < guard:
            time.sleep(0.01)
        scores.close()
        assert sorted(line["path"] for line in lines(journal)) == paths
        assert scores.unfinished == 0


def test_a_batch_that_is_dropped(tmp_path: Path, journal: Path) -> None:
    """A loop that is left, and a batch that only a cycle holds, are closed by the garbage collector."""
    paths = recordings(tmp_path, 8)
    with Sandbox() as sandbox:
        for outcome in batch(itertools.cycle(paths), sandbox, journal=journal):
            assert outcome.result is not None
            break
        assert own_threads() == []
        told: list[Any] = []
        scores: Optional[Batch] = batch(itertools.cycle(paths), sandbox, on_progress=lambda _: told.append(scores))
        assert scores is not None
        next(scores)
        told.append(told)
        scores = None
        told.clear()
        gc.collect()
        assert own_threads() == []
    Journal(journal).close()


# A file that was just opened when Ctrl-C came is closed by its reference count, not by its `with`.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_anywhere(tmp_path: Path, journal: Path) -> None:
    """Wherever Ctrl-C comes in `__next__`, threads end, and the journal is whole: what is done is not sent again."""
    folder = os.path.dirname(os.path.dirname(run.__file__))
    paths = recordings(tmp_path, 5)
    interrupted = 0
    with Sandbox() as sandbox:
        for point in itertools.count(0, 67):
            journal.write_bytes(b"")
            before = len(sandbox.exchanges)
            with _ctrl_c(point, folder) as came:
                for _ in batch(paths, sandbox, journal=journal, max_workers=2):
                    pass
            assert own_threads() == []
            if not came:
                break
            interrupted += 1
            sent = {exchange.pcm for exchange in sandbox.exchanges[before:]}
            done = {line["sha256"] for line in lines(journal)}
            assert len(done) <= len(sent) <= len(done) + 2
            assert successes(batch(paths, sandbox, journal=journal)) == paths
            assert len(sandbox.exchanges) - before <= len(paths) + 2
            assert Counter(line["sha256"] for line in lines(journal)) == Counter(map(sha256, paths))
    assert interrupted > 5


class _AtOnce(Executor):
    """Runs what it is given in the thread that gives it."""

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **options))
        return future


@pytest.mark.slow(everywhere=True)
@pytest.mark.parametrize(
    ("module", "kind", "executor"),
    [
        ("journal/file", TimeoutError, None),
        ("batch/crew", RuntimeError, None),
        ("batch/crew", KeyboardInterrupt, _AtOnce()),
        ("batch/intake", LookupError, None),
    ],
)
def test_what_a_signal_handler_raises_comes_through(
    module: str, kind: type[BaseException], executor: Optional[Executor], tmp_path: Path, journal: Path
) -> None:
    """At whatever line a handler raises, that comes out as itself: not as a failure of the journal or of a worker."""
    file = os.path.join(os.path.dirname(os.path.dirname(run.__file__)), *f"{module}.py".split("/"))
    paths = recordings(tmp_path, 2)
    with Sandbox() as sandbox:
        list(batch(paths[:1], sandbox, journal=journal))
        before = journal.read_bytes()
        with _at_line(0, file) as nothing:
            list(batch(paths, sandbox, journal=journal, executor=executor))
        assert nothing == []
        reached = sorted(_at_line.reached)
        for line in reached:
            journal.write_bytes(before)
            with _at_line(line, file, kind) as came:
                list(batch(paths, sandbox, journal=journal, executor=executor))
            assert came == ["in", "out"], f"swallowed at line {line}"
            assert own_threads() == []
    assert len(reached) > 10


class _ctrl_c:
    """Presses Ctrl-C at so many lines of our code in this thread; yields `["in", "out"]` if that came through.

    Args:
        point: How many lines are run before.
        folder: Whose code counts; or one file.
        kind: What the signal handler raises. It leaves the `with`; another error comes through.
    """

    def __init__(self, point: int, folder: Any, kind: type[BaseException] = KeyboardInterrupt) -> None:
        self._left = point
        self._folder = folder
        self._kind = kind
        self._came: list[str] = []
        self._before: Any = None

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(self._folder) or "sandbox" in frame.f_code.co_filename:
            return None
        if event == "line" and not self._came and self._is_there(frame):
            self._came.append("in")
            raise self._kind("a signal handler's")
        return self._trace

    def _is_there(self, frame: FrameType) -> bool:
        self._left -= 1
        return self._left < 0

    def __enter__(self) -> list[str]:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self._came

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        sys.settrace(self._before)
        ours = kind is self._kind and "a signal handler's" in str(error)
        self._came += ["out"] if ours else []
        return ours


class _at_line(_ctrl_c):
    """The same when line number `point` of a file is reached; `reached` has all lines that were."""

    reached: ClassVar[set[int]] = set()

    def _is_there(self, frame: FrameType) -> bool:
        self.reached.add(frame.f_lineno)
        return frame.f_lineno == self._left

    def __enter__(self) -> list[str]:
        self.reached.clear()
        return super().__enter__()


def test_next_after_the_end(tmp_path: Path) -> None:
    """An iterator that is over stays over."""
    with Sandbox() as sandbox:
        scores = batch(recordings(tmp_path, 1), sandbox)
        assert len(list(scores)) == 1
        assert list(scores) == []
        scores.stop()
        scores.close()
        assert list(scores) == []


def test_it_is_quiet(tmp_path: Path, journal: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that goes well logs no warning."""
    with caplog.at_level(logging.WARNING), Sandbox() as sandbox:
        assert len(successes(batch(recordings(tmp_path, 3), sandbox, journal=journal))) == 3
    assert caplog.records == []


# Found by a review.


@pytest.fixture(name="sandbox")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def test_paths_come_back_as_they_were_given(sandbox: Sandbox, tmp_path: Path) -> None:
    """Whoever gives a `Path` can look an outcome up by it: scored, failed, over budget and out of the journal."""
    first, second = map(Path, recordings(tmp_path, 2))
    missing = tmp_path / "missing.wav"
    journal = tmp_path / "scores.jsonl"
    for _ in range(2):
        given = [first, str(second), missing]
        assert {outcome.path for outcome in batch(given, sandbox, journal=journal)} == set(given)
    over = list(batch([missing, first], sandbox, journal=tmp_path / "other.jsonl", max_audio_seconds=0.01))
    assert {outcome.path for outcome in over} == {missing, first}


def test_outcomes_of_the_journal_are_outcomes(sandbox: Sandbox, tmp_path: Path) -> None:
    """They can be copied, pickled and taken apart like others, and have the result that was scored."""
    paths = recordings(tmp_path, 1)
    (scored,) = batch(paths, sandbox, journal=tmp_path / "scores.jsonl")
    (resumed,) = batch(paths, sandbox, journal=tmp_path / "scores.jsonl")
    for each in (resumed, pickle.loads(pickle.dumps(resumed)), copy.deepcopy(resumed), replace(resumed, attempts=0)):
        assert isinstance(each, Outcome)
        assert (each.path, each.error, each.from_journal, each.sha256) == (paths[0], None, True, scored.sha256)
        assert each.result is not None
        assert scored.result is not None
        assert dict(each.result) == dict(scored.result)
    assert asdict(resumed)["path"] == paths[0]


def test_another_directory_is_no_other_journal(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that is named by a relative path stays where it is, wherever the caller goes meanwhile."""
    paths = recordings(tmp_path, 3)
    monkeypatch.chdir(tmp_path)
    scores = batch(paths, sandbox, journal="scores.jsonl")
    next(scores)
    monkeypatch.chdir("/")
    assert len(list(scores)) == 2
    assert len(list(read(tmp_path / "scores.jsonl"))) == 3
