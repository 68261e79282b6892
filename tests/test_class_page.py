"""The page of a class: made from journals of made-up recordings, and used in a real browser."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import PHONE, TABLET, WIDE, _axe, _browser, _playwright, broken_layout, opened, violations  # noqa: F401 - fixtures
from classes import classroom, failed, line, scored, write
from commands import SHORT
from recordings import wav

pytest.importorskip("jinja2")

from elsa_unscripted.audio.recording import load
from elsa_unscripted.exceptions import ConfigError, JournalError
from elsa_unscripted.report import class_page, voices
from elsa_unscripted.results.problems import SILENCE
from elsa_unscripted.results.result import ScoreResult

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MAX_BYTES = 5_000_000  # for 1,000 recordings
PATIENCE = 30.0  # s to open 1,000 recordings: a hang guard; it takes less than one
HOSTILE = [
    "<script>window.evil = 1</script>",
    "\"'><img src=x onerror=window.evil=1>",
    "javascript:window.evil=1",
    "</script><script>window.evil = 1</script><!--",
    "{{ 7 * 7 }} {% raw %}",
    "\u202egnp.exe \u2066\u200f",
    "\x1b[2J\x00\ud800\u2028",
    "https://evil.example/" + "w" * 1_000_000,
]


def made(folder: Path, lines: Iterable[dict[str, Any]], **options: Any) -> Path:
    """Makes the page of a journal."""
    page = folder / "class.html"
    page.write_bytes(class_page(write(folder / "scores.jsonl", lines), **options).encode("utf-8"))
    return page


def data(page: Path) -> Any:
    """What the page tells its script."""
    text = page.read_text(encoding="utf-8")
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0])


def names(page: Page) -> list[str]:
    """The recordings in the table, as shown, from top to bottom."""
    return page.locator("#recordings tbody tr:visible th").all_inner_texts()


def hostile(text: str, name: str) -> dict[str, Any]:
    """A success whose every text is `text`."""

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(each) for key, each in value.items()}
        if isinstance(value, list):
            return [replaced(each) for each in value[:2]]
        return text if isinstance(value, str) else value

    entry = scored(name)
    speaker = replaced(entry["result"]["result"]["speakers"][0])
    result = {"status": "success", "partial_error": text, "a": {"transcript": f"{text} word", "speakers": [speaker]}}
    return {**entry, "path": f"{text}{name}", "warnings": [text], "stream_id": text, "time": text, "result": result}


# What counts.


def test_a_huge_score_breaks_nothing(tmp_path: Path) -> None:
    """Scores far outside the scale count as its ends: no median is infinite."""
    scores = {"Ana": "1e308", "Ben": "1.7e308", "Cem": "-1e308"}
    texts = [json.dumps(scored(name, 50.0)).replace("50.0", score) for name, score in scores.items()]
    for count in (2, 3):
        html = made(tmp_path, map(json.loads, texts[:count])).read_text(encoding="utf-8")
        assert "median <strong>100.0 %" in html
        assert not re.search(r"\binf\b|\bnan\b", html.partition("<script>")[0])


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [("", "timings", {"total": "x"}), ("", "warnings", 5), ("", "sample_width", 10**4299), ("error", "reason", 5)],
)
def test_what_was_edited_takes_nobody_away(tmp_path: Path, part: str, name: str, value: Any) -> None:
    """A line that somebody has edited is still a row."""
    line = failed("Ana", "ScoringFailedError") if part else scored("Ana", 80.0)
    (line[part] if part else line)[name] = value
    assert [each["name"] for each in data(made(tmp_path, [line, scored("Ben", 50.0)]))["recordings"]] == ["Ana", "Ben"]


def test_the_newest_line_counts(tmp_path: Path) -> None:
    """A recording that failed and was scored later is a success, under its newest name and once."""
    first = failed("Ana", "StreamClosedError")
    again = {**scored("Ana", 90.0), "path": "recordings/7b/Ana again.wav"}
    found = data(made(tmp_path, [first, scored("Ben", 50.0), again]))["recordings"]
    assert [each["name"] for each in found] == ["Ana again", "Ben"]
    assert [each["scores"][0][0] for each in found] == [90.0, 50.0]
    assert not any("problem" in each for each in found)


def test_a_recording_made_again_takes_its_place(tmp_path: Path) -> None:
    """Who was asked for a new recording, and gave one under the same name, is not asked again."""
    lines = [scored("Ana", None), failed("Ben", "AudioError"), failed("Cem", "AudioError"), scored("Dan", 50.0)]
    again = [scored("Ana", 81.0), scored("Ben", None), scored("Dan", 60.0)]
    lines += [{**each, "sha256": f"{index:064x}"} for index, each in enumerate(again)]
    found = data(made(tmp_path, lines))["recordings"]
    shown = [(each["name"], each.get("scores", [[None]])[0][0]) for each in found]
    assert shown == [("Ana", 81.0), ("Ben", None), ("Cem", None), ("Dan", 50.0), ("Dan", 60.0)]


def test_two_may_have_handed_in_one_file(tmp_path: Path) -> None:
    """The same content under two names is two rows, with a score or without; a later error takes no score away."""
    lines = [scored("Ana", 81.0), failed("Ben", "AudioError")]
    lines += [{**each, "path": f"recordings/7b/{name}.wav"} for each, name in zip(lines, ("Ana's twin", "Ben's twin"))]
    lines.append(failed("Ana", "StreamClosedError"))
    found = data(made(tmp_path, lines))["recordings"]
    assert [each["name"] for each in found] == ["Ana", "Ana's twin", "Ben", "Ben's twin"]
    assert ["scores" in each for each in found] == [True, True, False, False]


def test_a_renamed_recording_is_one(tmp_path: Path) -> None:
    """A recording that was renamed between two runs is shown once, under its newest name, whatever became of it."""
    lines = [scored("Ana", 81.0), failed("Ben", "BadQualityError"), scored("Cem", None)]
    for index, name in enumerate(("Ana", "Ben", "Cem")):
        for number in (1, 2):
            before = f"recordings/7b/{name}{number - 1 or ''}.wav"
            path = f"recordings/7b/{name}{number}.wav"
            lines.append({**lines[index], "path": path, "renamed_from": before, "attempts": 0})
    assert [each["name"] for each in data(made(tmp_path, lines))["recordings"]] == ["Ana2", "Ben2", "Cem2"]


def test_what_two_made_may_be_renamed(tmp_path: Path) -> None:
    """A recording of two people that was renamed between two runs is shown once for each of them."""
    lines = [{**failed("pair", "StreamClosedError"), "columns": {"name": name}} for name in ("Ana", "Ben")]
    lines += [{**line, "path": "new.wav", "renamed_from": line["path"], "attempts": 0} for line in lines]
    assert [each["name"] for each in data(made(tmp_path, lines))["recordings"]] == ["Ana", "Ben"]


def test_twins_name_each_other(tmp_path: Path) -> None:
    """Recordings of the same content are rows of their own, and each says which other one it is."""
    ana = scored("Ana", None)
    ben = {**ana, "path": "recordings/7b/Ben.wav", "same_as": ana["path"], "attempts": 0}
    page = made(tmp_path, [ana, ben, scored("Cem", 50.0)])
    assert [each.get("twin") for each in data(page)["recordings"]] == ["Ben", "Ana", None]
    assert "same recording as <bdi>Ben</bdi>" in page.read_text(encoding="utf-8")


def missing(name: str, **fields: Any) -> dict[str, Any]:
    """The line of a path that isn't there."""
    return {**failed(name, "AudioError", "no such file", missing=True), "sha256": None, **fields}


def test_a_lists_names_and_groups_are_shown(tmp_path: Path) -> None:
    """The journal's columns name rows and groups; who has handed in nothing is the first thing to do."""
    lines = [scored("1", 81.0, columns={"Name": "Zoë", "class": "7b"}), failed("2", "BadQualityError")]
    lines[1]["columns"] = {"Name": "Ana", "class": "7a"}
    lines.append(missing("3", columns={"Name": "Max", "class": "7a"}))
    page = made(tmp_path, lines)
    found = data(page)["recordings"]
    assert [each["name"] for each in found] == ["Ana", "Max", "Zoë"]
    assert found[2]["columns"] == [["Name", "Zoë"], ["class", "7b"]]
    text = page.read_text(encoding="utf-8")
    assert re.findall(r'class="listed"><bdi>(\w+)', text) == ["7a", "7a", "7b"]
    assert text.index("What to do next") < text.index("<h3>Not handed in ") < text.index("<h3>Bad recording quality ")
    assert "1 with a score, 1 not handed in, 1 of bad quality" in text


def test_a_list_may_come_later(tmp_path: Path) -> None:
    """With a list, the page of a journal made without it has its names, and those that the journal doesn't know."""
    lines = [scored("1", 81.0), scored("2", 50.0), scored("other", 60.0)]
    journal = write(tmp_path / "scores.jsonl", lines)
    listed = [("7b/1.wav", {"name": "Zoë"}), ("recordings/7b/2.wav", {"name": "Ana"}), ("3.wav", {"name": "Max"})]
    page = tmp_path / "class.html"
    page.write_text(class_page(journal, listed=[*listed, ("", {"name": "Bo"})]), encoding="utf-8")
    found = {each["name"]: each for each in data(page)["recordings"]}
    assert sorted(found) == ["Ana", "Bo", "Max", "Zoë", "recordings/7b/other.wav"]
    assert {name for name, each in found.items() if "problem" in each} == {"Bo", "Max"}
    assert "3 with a score, 2 not handed in" in page.read_text(encoding="utf-8")


def test_nobody_gets_the_score_of_a_namesake(tmp_path: Path) -> None:
    """A listed file that isn't there is not handed in, although another folder has a file of the same name."""
    lines = [scored("Ana", 81.0, path="7a/answer.wav"), scored("Cem", 50.0, path="/else/where/9a/x.wav")]
    journal = write(tmp_path / "scores.jsonl", lines)
    listed = [("7a/answer.wav", {"name": "Ana"}), ("7b/answer.wav", {"name": "Ben"}), ("9a/x.wav", {"name": "Cem"})]
    page = tmp_path / "class.html"
    for rows in (listed, listed[::-1], [*listed, ("answer.wav", {"name": "Dee"})]):
        page.write_text(class_page(journal, listed=rows), encoding="utf-8")
        found = {each["name"]: "problem" in each for each in data(page)["recordings"]}
        assert found == {"Ana": False, "Ben": True, "Cem": False, **({"Dee": True} if len(rows) > 3 else {})}


def test_who_is_missing_at_last_keeps_the_score(tmp_path: Path) -> None:
    """A path that isn't there any more, or was handed in since, is no row of its own."""
    late = [missing("Ben"), scored("Ben", 50.0)]
    found = data(made(tmp_path, [scored("Ana", 81.0), *late, missing("Ana"), missing("Cem"), missing("Cem")]))
    assert [(each["name"], "problem" in each) for each in found["recordings"]] == [
        ("Ana", False),
        ("Ben", False),
        ("Cem", True),
    ]


def test_two_may_have_made_one_recording(tmp_path: Path) -> None:
    """Where a list gives one path to two people, each has a row."""
    ana = scored("pair", 81.0, columns={"name": "Ana"})
    ben = {**ana, "columns": {"name": "Ben"}, "same_as": ana["path"], "attempts": 0}
    assert [each["name"] for each in data(made(tmp_path, [ana, ben]))["recordings"]] == ["Ana", "Ben"]


@pytest.mark.parametrize(
    ("entry", "problem", "again"),
    [
        (scored("A", None), "Too short", True),
        (scored("A", None, warnings=["a.wav: it is silent, all samples are zero"]), "Silent", True),
        ({**scored("A", None), "result": {"result": {"speakers": [{"total_time": 0}]}}}, "Silent", True),
        ({**scored("A", None), "result": {"result": {"speakers": [{"total_time": 19.0}]}}}, "Too short", True),
        ({**scored("A", None), "result": {"result": {"speakers": [{"total_time": 60.0}]}}}, "No score given", True),
        ({**scored("A", None), "result": {"result_link": "https://r"}}, "Scores not included", False),
        (failed("A", "BadQualityError", reason="too noisy"), "Bad recording quality", True),
        (failed("A", "ScoringFailedError", reason="not English"), "Turned down by the server", True),
        (failed("A", "AudioError", "the file is empty"), "Not readable as audio", True),
        (failed("A", "StreamClosedError"), "Not scored yet", False),
        (failed("A", "OfALaterVersionError"), "Not scored yet", False),
        (failed("A", "AudioError", missing=True), "Not handed in", False),
        (failed("A", "ConnectError", status_code=503), "Not scored yet", False),
        (failed("A", "ConnectError", status_code=404), "Refused by the server", False),
        (failed("A", "BudgetError"), "Not begun yet", False),
        (failed("A", "RateLimitedError"), "Not begun yet", False),
    ],
)
def test_who_needs_a_new_recording_and_why(tmp_path: Path, entry: dict[str, Any], problem: str, again: bool) -> None:
    """Each way to have no score is told in plain words, and only those count that a new recording helps."""
    page = made(tmp_path, [entry, scored("B")])
    told = data(page)
    assert told["problems"][told["recordings"][0]["problem"]][0] == problem
    text = page.read_text(encoding="utf-8")
    assert text.index("What to do next") < text.index(f"<h3>{problem} ") < text.index("How the class did")
    assert f"<dt>To be recorded again</dt><dd>{int(again)}</dd>" in text
    for reason in ("too noisy", "not English", "the file is empty"):
        assert (reason in text) == (reason in json.dumps(entry))


def test_what_is_silent_is_known_by_its_warning() -> None:
    """A recording without a sound has the warning by which its problem is told."""
    assert SILENCE in load(wav(bytes(32_000))).warnings[0]


def test_sounds_of_the_class(tmp_path: Path) -> None:
    """The sounds that most pupils got wrong come first, with their pupils, counts and words; notations are one.

    A word has no punctuation, is there once however it is spelled, and behind those that show the sound's letters.
    """

    def example(word: str) -> dict[str, str]:
        return {"text": word}

    lines = [scored("Ana"), scored("Ben"), scored("Cem")]
    errors = [
        [("TH", "T", 2, "my think,")],
        [("θ", "t", 1, "thin Think"), ("R", "L", 9, "red")],
        [("TH", "D", 1, "then")],
    ]
    for entry, found in zip(lines, errors):
        entry["result"]["result"]["speakers"][0]["feedbacks"]["pronunciation"]["top_errors"] = [
            {
                "phoneme": one,
                "errors": [{"error_phoneme": other, "count": n, "examples": list(map(example, words.split()))}],
            }
            for one, other, n, words in found
        ]
    page = made(tmp_path, lines)
    section = page.read_text(encoding="utf-8").partition('id="sounds-title"')[2].partition("</section>")[0]
    rows = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in section.split("<tr")[2:]]
    assert [re.sub(r"^data-sound=\S+ ", "", row) for row in rows] == [
        "said t for th Ana Ben /θ/ → /t/ 2 3 th ink , th in , my",
        "said l for r Ben /ɹ/ → /l/ 1 9 r ed",
        "said d for th Cem /θ/ → /d/ 1 1 th en",
    ]


def test_a_class_practises_what_its_recordings_do(tmp_path: Path) -> None:
    """What a pupil practises first is the same in the class and on the recording's page: words and their order, too."""
    words = [("three", 90.0), ("think", 40.0), ("cold", 55.0), ("both", 45.0)]
    spoken: list[dict[str, Any]] = [{"text": text, "score": score} for text, score in words]
    for index in (1, 3):  # not among the examples
        spoken[index]["phonemes"] = [{"text": "TH", "error_phoneme": "T"}]
    entry = scored("Ana")
    [speaker] = entry["result"]["result"]["speakers"]
    speaker["utterances"] = [{"text": " ".join(text for text, _ in words), "words": spoken}]
    wrong = {"error_phoneme": "T", "count": 3, "examples": [{"text": "three"}]}
    speaker["feedbacks"]["pronunciation"]["top_errors"] = [{"phoneme": "TH", "errors": [wrong]}]
    of_class = data(made(tmp_path, [entry]))["recordings"][0]["first"]
    of_recording = ScoreResult(entry["result"]).to_html()
    heard = re.findall(r'class="hear" data-word="(\d)"', of_recording)
    in_class = ["".join(word) for _, found, _ in of_class for word in found]
    named = re.findall(r"The word <i>.*?(\w+)</bdi>", of_recording)
    assert in_class == [*(words[int(index)][0] for index in heard), *named] == ["think", "both", "three", "cold"]
    assert [(place, score) for place, _, score in of_class] == [(0, None), (None, 55.0)]


def test_lengths_have_one_decimal(tmp_path: Path) -> None:
    """A length in the table has one decimal, whatever it is."""
    lines = [scored("A", audio_seconds=27.456), scored("B", audio_seconds=127.0), scored("C", audio_seconds=9.96)]
    text = made(tmp_path, lines).read_text(encoding="utf-8")
    assert re.findall(r'class="number length">([^<]+)</td>', text) == ["27.5 s", "127.0 s", "10.0 s"]


def test_terms_show_progress(tmp_path: Path) -> None:
    """Of several journals the newest by date is the class; the same name is the same pupil in each."""
    march: Any = {"time": "2026-03-01T10:00:00.000Z"}
    lines = [scored("Ana", 60.0, **march), scored("Zoé", 50.0, **march), scored("gone", 70.0, **march)]
    lines[0]["columns"] = {"name": "ANA  K"}
    autumn = write(tmp_path / "autumn.jsonl", [scored("x", 71.5, columns={"name": "Ana K"}), scored("Zoe\u0301", None)])
    spring = write(tmp_path / "spring.jsonl", [{**each, "path": f"elsewhere/{each['path']}"} for each in lines])
    html = class_page([autumn, spring])
    page = tmp_path / "class.html"
    page.write_bytes(html.encode())
    assert {each["name"] for each in data(page)["recordings"]} == {"Ana K", "Zoe\u0301"}
    assert data(page)["recordings"][0]["course"][0][0] == 60.0
    head = html.partition('id="progress"')[2].partition("<thead>")[2].partition("</thead>")[0]
    assert " ".join(re.sub(r"<[^>]+>", " ", head).split()) == "Pupil spring 2026-03-01 autumn 2026-11-22 Change"
    assert progress(html) == [
        "Ana K 60.0 71.5 +11.5",
        "gone 70.0 –",
        "Zoe\u0301 50.0 –",
    ]
    assert 'id="progress"' not in class_page(autumn)


def progress(html: str) -> list[str]:
    """The rows of the table of progress, below its head."""
    table = html.partition('id="progress"')[2].partition("</table>")[0]
    return [" ".join(re.sub(r"<[^>]+>", " ", row).partition(">")[2].split()) for row in table.split("<tr")[2:]]


@pytest.mark.parametrize("names", [("J. R. Smith", "J. R. Jones"), ("Ana/answer", "Ben/answer"), ("ł" * 400, "Łł")])
def test_pupils_are_told_apart_over_the_terms(tmp_path: Path, names: tuple[str, str]) -> None:
    """A dot in a name is no ending, a file's name that all have is no pupil's, and a long name is one."""
    journals = []
    for term, (month, change) in {"spring": (3, 0), "autumn": (9, 5)}.items():
        lines = [scored(f"{term}/{name}", 60.0 + 10 * at + change) for at, name in enumerate(names)]
        made_then = ({**each, "time": f"2026-{month:02}-01T10:00:00Z"} for each in lines)
        (tmp_path / term).mkdir()
        journals.append(write(tmp_path / term / "scores.jsonl", made_then))
    html = class_page(journals)
    assert sorted(row[-14:] for row in progress(html)) == ["60.0 65.0 +5.0", "70.0 75.0 +5.0"]
    assert "<bdi>autumn/scores</bdi>" in html  # two journals of one name are told apart


def test_a_journal_is_one_term(tmp_path: Path) -> None:
    """A journal that is given twice is told: nobody has made progress from a term to the same."""
    journal = write(tmp_path / "scores.jsonl", [scored("Ana")])
    with pytest.raises(ConfigError, match="given twice"):
        class_page([journal, tmp_path / "." / "scores.jsonl"])


def test_what_all_have_in_common_is_no_group(tmp_path: Path) -> None:
    """A column that tells two groups apart is offered before one that is the same for all."""
    lines = [scored(name, columns={"school": "S", "year": "7", "class": f"7{name}"}) for name in "aab"]
    lines[1]["path"] = "recordings/7b/c.wav"
    assert data(made(tmp_path, lines))["columns"][0] == "class"


def test_a_class_can_be_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their folder, the recordings that were scored are in the page, of others it is told why not; bounded."""
    short = Path(SHORT).read_bytes()
    lines = [scored("Ana"), scored("Ben"), scored("Cem"), failed("Dan", "AudioError", missing=True)]
    lines[0]["sha256"] = hashlib.sha256(short).hexdigest()
    lines[3]["sha256"] = None
    folder = tmp_path / "recordings" / "inner"
    folder.mkdir(parents=True)
    mark = "\u200f" + "ن" * 50 + "\u200f"  # as Arabic names have it; a page spells it out
    lines += [{**scored(f"{'long folder ' * 30}/{mark}"), "sha256": lines[0]["sha256"]}]
    (folder / f"{mark}.wav").write_bytes(short)
    for name in ("Ana", "Ben"):
        (folder / f"{name}.wav").write_bytes(short)
    journal = write(tmp_path / "scores.jsonl", lines)
    html = class_page(journal, audio=tmp_path / "recordings")
    assert re.findall(r'id="(a\d+)" data-kind="([^"]+)"', html) == [("a0", "audio/wav"), ("a4", "audio/wav")]
    assert "2 recordings can be heard: " in html
    told = re.sub(r"\s+", " ", caplog.text)
    assert "their content is another one: Ben.wav" in told
    assert re.search(r"not found in \S+: Cem.wav", told)
    assert "Dan" not in told
    monkeypatch.setattr(voices, "MAX_BYTES", 1000)
    assert "Recordings left out" in class_page(journal, audio=tmp_path / "recordings")
    with pytest.raises(ConfigError, match="is no folder"):
        class_page(journal, audio=SHORT)


def test_a_class_without_problems_says_nothing_of_them(tmp_path: Path) -> None:
    """Where everybody is scored there is no list of those who aren't."""
    assert "What to do next" not in made(tmp_path, [scored("A")]).read_text(encoding="utf-8")


def test_null_is_not_zero(tmp_path: Path) -> None:
    """A score of 0 is a weak score; one that is null is none: neither in the table, nor in the histograms."""
    zero, null = scored("zero", 0.0), scored("null", 50.0)
    null["result"]["result"]["speakers"][0]["metrics"]["general_scores"]["elsa"]["grammar_score"] = None
    page = made(tmp_path, [zero, null])
    by_name = {each["name"]: each["scores"] for each in data(page)["recordings"]}
    assert by_name["zero"][0][0] == 0.0
    assert by_name["null"][4][0] is None
    text = page.read_text(encoding="utf-8")
    assert '<span class="score band-weak">0.0</span>' in text
    assert "1 not scored" in text.partition("<h3>Grammar</h3>")[2].partition("</figure>")[0]


def test_levels_are_counted(tmp_path: Path) -> None:
    """A level between two counts as the one that is reached, as on the page of one recording."""
    lines = [scored(name) for name in "ABC"]
    for entry, cefr in zip(lines, ("B1+", "b1", "Pre-A1")):
        entry["result"]["result"]["speakers"][0]["metrics"]["general_scores"]["cefr"]["overall_cefr"] = cefr
    text = made(tmp_path, lines).read_text(encoding="utf-8").partition('class="levels"')[2]
    assert [int(number) for number in re.findall(r'class="number">(\d+)', text)[:6]] == [0, 0, 2, 0, 0, 0]


def test_bands_follow_the_thresholds(tmp_path: Path) -> None:
    """A score at a threshold is in the band above it; the thresholds can be chosen, and are shown."""
    page = made(tmp_path, [scored("A", 39.9), scored("B", 40.0), scored("C", 90.0)], thresholds=(40, 90))
    text = page.read_text(encoding="utf-8")
    table = text.partition("<tbody>")[2]
    assert [re.findall(r"band-(\w+)", row)[0] for row in table.split("<tr>")[1:]] == ["weak", "fair", "good"]
    assert "below 40 %" in text
    with pytest.raises(ValueError, match="thresholds"):
        class_page(tmp_path / "scores.jsonl", thresholds=(80, 60))


def test_names_tell_recordings_apart(tmp_path: Path) -> None:
    """Of the paths only what differs is shown, `9` before `10`, on whatever system they were written."""
    paths = ["x\\7b\\Ana 10.wav", "x\\7b\\Ana 9.wav", "x\\7c\\Ana 9.wav"]
    found = data(made(tmp_path, [{**scored(path), "path": path} for path in paths]))["recordings"]
    assert [each["name"] for each in found] == ["7b/Ana 9", "7b/Ana 10", "7c/Ana 9"]
    assert found[0]["path"] == paths[1]


def test_words_are_found_in_the_transcript(tmp_path: Path) -> None:
    """Each word of the transcript has the band of its own score, also when words are missing or repeated."""
    entry = scored("A")
    words = [("so", 10), ("I", 90), ("think", 70), ("so", 95), ("too", None)]
    speaker = entry["result"]["result"]["speakers"][0]
    speaker["utterances"] = [{"words": [{"text": word, "score": score} for word, score in words]}]
    entry["result"]["result"]["transcript"] = "I think – perhaps – so, too."
    found = data(made(tmp_path, [entry]))["recordings"][0]
    assert found["marks"] == "gfnnng"
    assert found["weak"] == [["so", 10.0], ["think", 70.0]]


def test_an_empty_journal_has_a_page(tmp_path: Path) -> None:
    """A journal without a line yet makes a page that says so."""
    assert "There is no recording in this journal yet." in made(tmp_path, []).read_text(encoding="utf-8")


def test_a_sandbox_is_named(tmp_path: Path) -> None:
    """Scores that a sandbox made up are never shown without saying so."""
    entry = scored("A")
    entry["result"]["sandbox"] = True
    text = made(tmp_path, [entry, scored("B")]).read_text(encoding="utf-8")
    assert "The sandbox made 1 of these results, not ELSA." in text


@pytest.mark.parametrize("value", [None, "x", -1, 1e300, [], {}, True, 10**400])
def test_strange_values_make_a_page(tmp_path: Path, value: Any) -> None:
    """Whoever wrote the journal, no value in it keeps the others from being shown."""
    keys = ("time", "audio_seconds", "stream_id", "warnings", "timings", "attempts", "seconds")
    lines = [{**scored(f"{key} good"), key: value} for key in keys]
    lines += [{**failed(f"{key} bad", "AudioError"), key: value} for key in keys]
    lines.append({**line("E"), "outcome": "error", "error": {"type": value, "reason": value, "message": value}})
    text = made(tmp_path, [*lines, scored("B")]).read_text(encoding="utf-8")
    assert "<bdi>B</bdi>" in text
    assert text.count('<th scope="row">') == 2 * len(keys) + 2


@pytest.mark.parametrize(("value", "place"), [(1.7e308, "95.4"), (100.1, "95.4"), (-5, "0.4"), (-1.7e308, "0.4")])
def test_absurd_scores_are_drawn_at_the_end_of_the_scale(tmp_path: Path, value: float, place: str) -> None:
    """A score outside 0 to 100 % has the outermost column of the histogram, and keeps no page from being made."""
    entry = scored("A")
    entry["result"]["result"]["speakers"][0]["metrics"]["general_scores"]["elsa"]["eps_score"] = value
    text = made(tmp_path, [entry]).read_text(encoding="utf-8")
    assert re.findall(r'<rect class="band-\w+" x="([\d.]+)"', text)[0] == place


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    """A journal whose last line was torn off still makes a page of the others."""
    journal = write(tmp_path / "scores.jsonl", [scored("A"), scored("B")])
    journal.write_bytes(journal.read_bytes()[:-100])
    assert class_page(journal).count('<th scope="row">') == 1


def test_another_file_is_refused(tmp_path: Path) -> None:
    """What is no journal raises a `JournalError`, as reading it does."""
    other = tmp_path / "other.jsonl"
    other.write_text('{"some": "thing else"}\n')
    with pytest.raises(JournalError, match="no journal"):
        class_page(other)


# In a browser.


@pytest.fixture(name="terms", scope="module")
def _terms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a class over six terms with long names."""
    folder = tmp_path_factory.mktemp("terms")
    lines = [*classroom(20), scored("Ana", 99.9, audio_seconds=127.4, warnings=["a", "b"])]
    journals = [
        write(
            folder / f"a long name of a term {month}.jsonl",
            [{**each, "time": f"2026-{month:02}-01T10:00:00Z"} for each in lines],
        )
        for month in range(1, 7)
    ]
    page = folder / "class.html"
    page.write_text(class_page(journals), encoding="utf-8")
    return page


@pytest.fixture(name="few", scope="module")
def _few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small class in which everything happens."""
    lines = [
        scored("Ana", 83.5),
        scored("Ben", 41.0, warnings=["8 kHz"]),
        scored("Chloé", 67.2),
        scored("Dmitri", None, audio_seconds=5.2),
        failed("Emre", "BadQualityError", reason="too noisy"),
        failed("Fatima", "StreamClosedError", "the server closed the connection"),
    ]
    for each, group in zip(lines, "ababab"):
        each["columns"] = {"class": f"7{group}"}
    lines[0]["result"]["sandbox"] = True
    lines[0]["sha256"] = hashlib.sha256(Path(SHORT).read_bytes()).hexdigest()
    folder = tmp_path_factory.mktemp("few")
    (folder / "Ana.wav").write_bytes(Path(SHORT).read_bytes())
    earlier = write(
        folder / "earlier.jsonl", [scored(name, 60.0, time="2026-03-01T10:00:00.000Z") for name in ("Ana", "Zoé")]
    )
    page = folder / "class.html"
    page.write_text(class_page([earlier, write(folder / "scores.jsonl", lines)], audio=folder), encoding="utf-8")
    return page


@pytest.mark.slow
@pytest.mark.browser
def test_a_thousand_recordings_open_at_once(browser: Browser, tmp_path: Path) -> None:
    """1,000 recordings are less than 5 MB, open, and show their number and their table."""
    thousand = made(tmp_path, classroom(1000))
    assert thousand.stat().st_size < MAX_BYTES
    began = time.monotonic()
    with opened(browser, thousand) as page:
        assert page.inner_text("#count") == "1000 of 1000 shown"
        assert time.monotonic() - began < PATIENCE
        assert page.locator("#recordings tbody tr").count() == 1000


@pytest.mark.slow
def test_a_thousand_long_recordings_are_small(tmp_path: Path) -> None:
    """Also 1,000 recordings of far more words than 150 s hold, the cap, with long names, are less than 5 MB."""
    entry = scored("A")
    utterance = entry["result"]["result"]["speakers"][0]["utterances"][0]
    longer = {"text": " ".join([utterance["text"]] * 15), "words": utterance["words"] * 2}
    entry["result"]["result"]["speakers"][0]["utterances"] = [longer]
    lines = ({**entry, "sha256": f"{n:064x}", "path": f"{'long name ' * 9}{n}.wav"} for n in range(1000))
    assert made(tmp_path, lines).stat().st_size < MAX_BYTES


@pytest.mark.slow
@pytest.mark.browser
def test_hostile_texts_are_texts(browser: Browser, tmp_path: Path) -> None:
    """Nothing of the server is run, followed or loaded: markup, attributes, links and a word of a megabyte are text."""
    lines = (hostile(text, f"evil {number}") for number, text in enumerate(HOSTILE))
    file = made(tmp_path, [*classroom(20), *lines])
    with opened(browser, file) as page:
        page.fill("#filter", "evil ")
        links = page.locator("#recordings tbody tr:visible a")
        assert links.count() >= 6  # in the two longest names the number is cut off
        for place in range(links.count()):
            links.nth(place).click()
            page.wait_for_selector("#section h1")
            assert broken_layout(page) == []
            page.keyboard.press("Escape")
            page.wait_for_selector("#overview")
        assert page.evaluate("window.evil") is None
        hrefs = page.eval_on_selector_all("a", "links => links.map(link => link.getAttribute('href'))")
        assert all(re.fullmatch(r"#(r\d+)?", href) for href in hrefs)
    shown = file.read_text(encoding="utf-8")
    assert "\u202e" not in shown
    assert "w" * 10_000 not in shown


@pytest.mark.browser
def test_the_table_sorts(browser: Browser, few: Path) -> None:
    """A button in the head sorts, up and then down, by mouse and by keyboard; who has no score stays last."""
    with opened(browser, few) as page:
        assert names(page) == ["Ana", "Ben", "Chloé", "Dmitri", "Emre", "Fatima"]
        overall = page.get_by_role("columnheader", name="Overall")
        for direction, order in (("ascending", ["Ben", "Chloé", "Ana"]), ("descending", ["Ana", "Chloé", "Ben"])):
            overall.get_by_role("button").press("Enter")
            assert overall.get_attribute("aria-sort") == direction
            assert names(page) == [*order, "Dmitri", "Emre", "Fatima"]
        assert page.locator("[aria-sort]").count() == 1
        page.get_by_role("button", name="Recording").click()
        page.get_by_role("button", name="Recording").click()
        assert names(page)[0] == "Fatima"
        page.get_by_role("button", name="Note").click()
        assert names(page) == ["Ben", "Emre", "Fatima", "Dmitri", "Ana", "Chloé"]


@pytest.mark.browser
def test_the_table_is_filtered(browser: Browser, few: Path) -> None:
    """What is typed narrows the table by name, level or note, in any case; the number of those left is told."""
    with opened(browser, few) as page:
        wishes = {
            "chloÉ": "Chloé",
            "chloe": "Chloé",
            "TOO short": "Dmitri",
            " yet  scored": "Fatima",
            "c1": "Ana",
            "warning": "Ben",
        }
        for sought, found in wishes.items():
            page.fill("#filter", sought)
            assert names(page) == [found]
            assert page.inner_text("#count") == "1 of 6 shown"
        page.fill("#filter", "nobody")
        assert names(page) == []
        page.get_by_role("button", name="Show all").click()
        assert len(names(page)) == 6


@pytest.mark.browser
def test_a_link_leads_to_the_recording(browser: Browser, few: Path) -> None:
    """A link opens a recording's section: scores, transcript, errors. Back and Escape return; a reload stays."""
    with opened(browser, few) as page:
        page.locator("#recordings").get_by_role("link", name="Ben").press("Enter")
        section = page.locator("#section")
        page.wait_for_function("() => document.activeElement.textContent === 'Ben'")
        assert section.locator("h1").inner_text() == "Ben"
        assert page.title() == "Ben – Class report"
        text = section.inner_text()
        assert section.locator(".sounds .examples b").count() > 3  # the letters of the sound
        for expected in ("41.0\u00a0%", "A2", "Pronunciation", "8 kHz", "Last summer my family", "Sounds to practise"):
            assert expected in text
        assert section.locator(".words .band-weak").count() > 3
        assert section.locator(".eyebrow").inner_text() == "2026-11-22 · 7b · 27.4 s of audio"
        assert section.locator("audio").count() == 0
        assert not page.locator("#overview").is_visible()
        section.get_by_role("link", name="Next").click()
        page.wait_for_function("() => document.querySelector('#section h1')?.textContent === 'Chloé'")
        page.go_back()
        page.wait_for_function("() => document.querySelector('#section h1')?.textContent === 'Ben'")
        page.keyboard.press("Escape")
        page.wait_for_selector("#overview", state="visible")
        assert page.title() == "Class report"
        assert page.evaluate("document.activeElement.textContent") == "Ben"  # with the keyboard one goes on from there
        page.locator("#recordings").get_by_role("link", name="Ana").click()
        section.get_by_text("The sandbox made this result").wait_for()
        assert section.locator(".progress tbody tr").first.inner_text().split() == ["Overall", "60.0", "83.5"]
        page.evaluate("document.querySelector('#section audio').play()")
        page.wait_for_function("() => document.querySelector('#section audio').currentTime > 0")
        page.keyboard.press("Escape")
        page.locator("#again").get_by_role("link", name="Emre").click()
        page.wait_for_function("() => document.querySelector('#section h1')?.textContent === 'Emre'")
        assert "Bad recording quality" in section.inner_text()
        assert "too noisy" in section.inner_text()
        page.reload()
        page.wait_for_function("() => document.querySelector('#section h1')?.textContent === 'Emre'")


@pytest.mark.browser
def test_without_script_the_table_is_there(browser: Browser, few: Path) -> None:
    """Where scripts are off, as in a mail program, names, scores and notes are shown, and that more needs a browser."""
    with opened(browser, few, java_script_enabled=False) as page:
        assert page.locator("noscript .notice").is_visible()
        assert page.locator("#recordings tr").filter(has_text="Ben").get_by_text("41.0").is_visible()
        assert not page.locator("#filter").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(browser: Browser, axe: str, few: Path, scheme: str) -> None:
    """axe-core finds nothing in either theme, on a phone, a tablet, a desk or paper; nothing sticks out of the page."""
    looks = [("", PHONE), ("#r0", WIDE)]  # colours depend on the theme, all else is looked at in one
    if scheme == "light":
        looks += [("", TABLET), ("", WIDE), ("#r1", PHONE), ("#r4", PHONE)]
    with opened(browser, few, color_scheme=scheme) as page:
        for place, viewport in looks:
            page.goto(few.resolve().as_uri() + place)
            page.set_viewport_size(viewport)
            assert page.locator("#section").is_visible() == bool(place)
            page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
            assert broken_layout(page) == []
            assert violations(page, axe) == []
        if scheme == "light":
            for place in ("", "#r1"):
                page.goto(few.resolve().as_uri() + place)
                page.emulate_media(media="print")
                assert violations(page, axe) == []


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 600, 768, 834, 900, 1024])
def test_nothing_sticks_out(browser: Browser, terms: Path, width: int) -> None:
    """From a small phone to a tablet held either way, no page scrolls sideways, and no word of a head is torn."""
    with opened(browser, terms, viewport={"width": width, "height": 800}) as page:
        for place in ("", "#r1"):
            page.goto(terms.resolve().as_uri() + place)
            assert broken_layout(page) == []
        script = """heads => heads.map(head => {
            const range = document.createRange();
            range.selectNodeContents(head);
            return [head.textContent, new Set([...range.getClientRects()].map(box => box.top)).size];
        })"""
        torn = page.eval_on_selector_all("#section thead th", script)
        assert [text for text, number in torn if number > len(text.split())] == []


@pytest.mark.browser
def test_names_sort_as_the_reader_does(browser: Browser, tmp_path: Path) -> None:
    """Å is the last letter but two in Swedish, and an A in English; 9 is before 10; a filter needs no accents."""
    journal = write(tmp_path / "scores.jsonl", [scored(name) for name in ("Zoe", "Åsa 10", "Åsa 9", "Ana", "Łukasz")])
    page_file = tmp_path / "class.html"
    page_file.write_text(class_page([journal, write(tmp_path / "none.jsonl", [])]), encoding="utf-8")
    for locale, order in (
        ("sv-SE", ["Ana", "Łukasz", "Zoe", "Åsa 9", "Åsa 10"]),
        ("en-GB", ["Ana", "Åsa 9", "Åsa 10", "Łukasz", "Zoe"]),
    ):
        with opened(browser, page_file, locale=locale) as page:
            assert names(page) == order
            assert page.locator("table.progress tbody th").all_inner_texts() == order
            page.get_by_role("button", name="Recording").click()
            assert names(page) == order[::-1]
            for sought, found in (("asa", 2), ("lukasz", 1)):
                page.fill("#filter", sought)
                assert len(names(page)) == found


@pytest.mark.browser
def test_a_group_narrows_the_page(browser: Browser, few: Path) -> None:
    """A group of the list's that is chosen narrows the table, the tiles, the problems, the sounds and the drawings."""
    with opened(browser, few) as page:
        courses = page.locator("table.progress tbody tr:visible th")
        assert courses.all_inner_texts() == ["Ana", "Ben", "Chloé", "Dmitri", "Emre", "Fatima", "Zoé"]
        page.get_by_label("class", exact=True).select_option("7a")
        assert courses.all_inner_texts() == ["Ana", "Chloé", "Emre"]
        assert names(page) == ["Ana", "Chloé", "Emre"]
        assert page.locator("#tiles dd").all_inner_texts() == ["3", "2", "1", "75.3\u00a0%"]
        assert page.locator(".problem:visible h3").all_inner_texts() == ["Bad recording quality\n1"]
        assert page.locator("figure[data-skill='0'] .tally").inner_text().split() == (
            ["0", "weak", "1", "fair", "1", "good", "1", "not", "scored"]
        )
        assert page.locator("figure[data-skill='0'] rect").count() == 2
        numbers = [int(text) for text in page.locator(".lesson tr:visible .pupils").all_inner_texts()]
        assert numbers == sorted(numbers, reverse=True)
        assert sum(numbers) == 3 * 2
        page.get_by_label("class", exact=True).select_option("all")
        assert len(names(page)) == 6
        assert page.locator("#tiles dd").first.inner_text() == "6"
        assert courses.count() == 7


@pytest.mark.browser
def test_it_prints(browser: Browser, few: Path) -> None:
    """On paper, and on a tablet, is the table, a row for each, its head on each sheet; or a sheet for each pupil."""
    display = "element => getComputedStyle(element).display"
    with opened(browser, few, viewport={"width": 768, "height": 1000}) as page:
        assert page.locator("#recordings tbody tr").first.evaluate(display) == "table-row"
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 673, "height": 1000})  # of a sheet of A4 between its margins
        assert not page.locator("#filter").is_visible()
        assert page.locator("#recordings").is_visible()
        page.set_viewport_size({"width": 794, "height": 1000})
        assert page.locator("#recordings tbody tr").first.evaluate(display) == "table-row"
        assert page.locator("#recordings thead").evaluate(display) == "table-header-group"
        assert page.locator("#recordings thead button").first.evaluate(display) == "contents"  # else it isn't repeated
        page.evaluate("window.print = () => { window.printed = true; }")
        page.emulate_media(media="screen")
        page.fill("#filter", "7b")
        page.get_by_role("button", name="Print all pupils").click()
        assert page.evaluate("window.printed")
        sheets = page.locator("#sheets h1").evaluate_all("heads => heads.map(head => head.textContent)")
        assert sheets == ["Ben", "Dmitri", "Fatima"]
        assert len(re.findall(rb"/Type ?/Page\b", page.pdf(format="A4", print_background=True))) == 3
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("#sheets .sheet").count() == 0
        assert page.locator("#overview").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("terms", [1, 7])
def test_a_pupil_takes_one_sheet(browser: Browser, tmp_path: Path, terms: int) -> None:
    """Who has much to be told, warnings, long speech, many terms, takes one sheet; and no name is torn into letters."""
    warnings = ["a warning of the longest kind that a page shows " * 6] * 5
    lines = [scored(name, 50.0, warnings=warnings) for name in ("Ana Castro", "Ben Dąbrowska")]
    for each in lines:
        each["result"]["sandbox"] = True
        each["result"]["result"]["speakers"][0]["utterances"][0]["text"] *= 6
    journals = []
    for term in range(terms):
        made_then = ({**each, "time": f"202{term}-03-01T10:00:00Z"} for each in lines)
        journals.append(write(tmp_path / f"term{term}.jsonl", made_then))
    page_file = tmp_path / "class.html"
    page_file.write_text(class_page(journals), encoding="utf-8")
    with opened(browser, page_file, viewport=TABLET) as page:
        for head in page.locator(".progress tbody th").all():
            assert head.evaluate("head => head.clientWidth") > 80
        page.evaluate("window.print = () => {}")
        page.get_by_role("button", name="Print all pupils").click()
        assert len(re.findall(rb"/Type ?/Page\b", page.pdf(format="A4", print_background=True))) == len(lines)
