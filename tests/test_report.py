"""The report without a browser: what is computed for it, what is embedded, and the command that writes it."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import struct
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from commands import COMMAND, SHORT, Finished, posix, run, shadow
from hypothesis import given
from hypothesis import strategies as st
from recordings import AUSTEN, SPEECH, encoded, wav

from elsa_unscripted import AudioError
from elsa_unscripted.report import result_page, sound
from elsa_unscripted.report.drawing import BINS, gaps, joined, shape, ticks
from elsa_unscripted.report.transcript import cut, pieces
from elsa_unscripted.results.assessment import Score, Speaker
from elsa_unscripted.results.bands import band, check_thresholds
from elsa_unscripted.results.facts import weakest
from elsa_unscripted.results.result import ScoreResult
from elsa_unscripted.sandbox.verdict import example

EXAMPLE = example()
VERDICT = {"status": "success", "result": EXAMPLE}
FULL = Path("/dev/full")


# Bands, drawings, words.


def test_bands_begin_at_their_threshold() -> None:
    """A score of exactly a threshold is in the band above it, and no score is in none of them."""
    values = (59.9, 60.0, 79.9, 80.0, None)
    assert [band(value, (60, 80)) for value in values] == ["weak", "fair", "fair", "good", "none"]


def test_bands_are_those_of_the_shown_number() -> None:
    """What is shown as 80.0 % is good where good begins at 80, and no word to practise: nobody sees more decimals."""
    values = (59.94, 59.96, 79.94, 79.96)
    assert [band(value, (60, 80)) for value in values] == ["weak", "fair", "fair", "good"]
    assert weakest(values) == [0, 1, 2]


@pytest.mark.parametrize("bad", [(80, 60), (-1, 50), (50, 101), (math.nan, 50), (50,), (1, 2, 3), "ab", None, 7])
def test_bad_thresholds_are_refused(bad: Any) -> None:
    """Thresholds are two numbers of percent in order; anything else is named in the error."""
    with pytest.raises(ValueError, match="the lower one first"):
        check_thresholds(bad)
    with pytest.raises(ValueError, match="the lower one first"):
        ScoreResult(VERDICT).to_html(thresholds=bad)


def test_pauses() -> None:
    """Words that follow at once are one stretch of speech; what lies between two stretches is a pause."""
    speech = joined([(2.0, 2.5), (0.2, 0.5), (0.6, 1.0), (2.4, 2.45)], 0.3)
    assert speech == [(0.2, 1.0), (2.0, 2.5)]
    assert gaps(speech, 0.3) == [(1.0, 2.0)]
    assert gaps([], 0.3) == []


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 24.73, 600.0, 1e5, 1e9])
def test_few_ticks_at_round_times(seconds: float) -> None:
    """However long the recording, a handful of times is named, none beyond its end."""
    named = ticks(seconds)
    assert 1 <= len(named) <= 8
    assert 0 == named[0] <= named[-1] <= seconds


def test_waveform_has_few_bars() -> None:
    """However long the recording, its drawing stays small; silence is a thin line."""
    assert shape([0.1] * 100_000).count("M") == BINS
    assert shape([0.5, 1.0]).count("M") == 2
    assert "v2.0" in shape([0.0, 0.0])


def speaker(text: Optional[str], *words: str) -> Speaker:
    return Speaker({"utterances": [{"text": text, "words": [{"text": word} for word in words]}]})


def spelled(text: Optional[str], *words: str, transcript: Optional[str] = None) -> str:
    found, _ = pieces(speaker(text, *words), transcript)
    return "".join(piece.text if piece.word is None else f"[{piece.word}:{piece.text}]" for piece in found)


def test_words_are_found_in_the_text() -> None:
    """Words keep the punctuation and the capitals of the text around them."""
    assert spelled("And he, and I.", "and", "he", "and", "i") == "[0:And] [1:he], [2:and] [3:I]."
    assert spelled("said", "one", transcript="One!") == "[0:One]!"


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("One, three.", "one two three", "[0:One], [2:three]."),
        ("I have 25 dogs.", "i have twenty five dogs", "[0:I] [1:have] 25 [4:dogs]."),
        ("A pleasure to see the leisure.", "a leisure to see the", "[0:A] pleasure [2:to] [3:see] [4:the] leisure."),
        ("Don\u2019t go.", "don't go", "[0:Don\u2019t] [1:go]."),
        ("The cat and the dog.", "cat the dog", "The [0:cat] and [1:the] [2:dog]."),
    ],
    ids=["missing", "digits", "elsewhere", "apostrophe", "sparse"],
)
def test_words_that_are_spelled_otherwise(text: str, words: str, expected: str) -> None:
    """A word that the text lacks, or spells otherwise, is left out; the text and all other words stay in place."""
    assert spelled(text, *words.split()) == expected


def test_the_text_with_most_words_is_shown() -> None:
    """The words are sought in the whole transcript and in the utterances, and the better one is taken."""
    assert spelled("One, two.", "one", "two", transcript="One: 2.") == "[0:One], [1:two]."
    assert spelled("One: 2.", "one", "two", transcript="One, two.") == "[0:One], [1:two]."


def test_no_word_is_lost() -> None:
    """Where the text lacks most of the words, the words alone are the text."""
    assert spelled("One.", "one", "two", "three") == "[0:one] [1:two] [2:three] "
    assert spelled("said so", transcript=" ") == "said so"
    assert spelled(None) == ""


def test_long_words_are_cut() -> None:
    """A word of 1 MB takes no more than its share of the page, and the search for words stays linear."""
    long = "x" * 1_000_000
    assert len(spelled(f"a {long}", "a", long)) < 300
    assert cut("a \n b\tc", 20) == "a b c"
    assert cut("abcdef", 3) == "abc…"


# The recording.


@pytest.mark.parametrize(("container", "kind"), [("mp3", "audio/mpeg"), ("flac", "audio/flac"), ("ipod", "audio/mp4")])
def test_what_browsers_play_stays_as_it_is(container: str, kind: str, tmp_path: Path) -> None:
    """Files that every browser plays are embedded byte for byte, from bytes or from a path."""
    data = encoded(container)
    path = tmp_path / "speech"
    path.write_bytes(data)
    for source in (data, path):
        found = sound.read(source)
        assert (found.kind, base64.b64decode(found.data)) == (kind, data)


@pytest.mark.parametrize("container", ["ogg", "webm", "aiff"])
def test_what_some_browsers_do_not_play_becomes_wav(container: str) -> None:
    """Safari is late with Ogg and WebM: mono 16 kHz 16 bit goes in their place."""
    found = sound.read(encoded(container))
    data = base64.b64decode(found.data)
    assert found.kind == "audio/wav"
    assert struct.unpack_from("<HHI", data, 20) == (1, 1, 16000)
    assert found.seconds == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness(bits: int, channels: int) -> None:
    """A quiet and a loud half are told apart in every sample width, and half of the range is half."""
    top = 1 << (bits - 1)
    quiet, loud = (top, top + top // 2) if bits == 8 else (0, top // 2)  # 8-bit samples are unsigned
    frames = b"".join(value.to_bytes(bits // 8, "little") * channels * 32000 for value in (quiet, loud))
    found = sound.read(wav(frames, 8000, channels, bits))
    assert found.peaks == [0.0] * 200 + [0.5] * 200
    assert [round(edge, 2) for edge in found.sounds()[0]] == [4.0, 4.02]


def test_wav_with_a_wrong_header_is_mended() -> None:
    """What a browser would stumble over is written anew from what was decoded, with the warning."""
    found = sound.read(wav(SPEECH[:32000], size=0))
    assert base64.b64decode(found.data) == wav(SPEECH[:32000])
    assert len(found.warnings) == 1


def test_large_recordings_are_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large goes in as mono 16 kHz; what is too large even so does not, and the page says it."""
    pytest.importorskip("av")
    stereo = wav(SPEECH[:64000], 32000, 2)
    monkeypatch.setattr(sound, "MAX_PLAIN", len(stereo) - 1)
    smaller = base64.b64decode(sound.read(stereo).data)
    assert struct.unpack_from("<HHI", smaller, 20) == (1, 1, 16000)
    monkeypatch.setattr(sound, "MAX_EMBEDDED", len(smaller) - 1)
    assert sound.read(stereo).data == ""
    assert "too long to be played from this page" in result_page(ScoreResult(VERDICT), audio=stereo)


def test_audio_segment_and_file_object(austen: Path) -> None:
    """The recording can be given as to `score()`."""
    from pydub import AudioSegment

    segment = AudioSegment(SPEECH[:32000], sample_width=2, frame_rate=16000, channels=1)
    assert base64.b64decode(sound.read(segment).data) == wav(SPEECH[:32000])
    with austen.open("rb") as file:
        assert sound.read(file).seconds == pytest.approx(24.73)


def test_bad_audio_is_an_error() -> None:
    """A recording that can't be decoded is refused, as by `score()`."""
    with pytest.raises(AudioError):
        ScoreResult(VERDICT).to_html(audio=b"no audio at all")


def test_another_recording_is_noticed() -> None:
    """A recording of another length than the scored one is embedded with a warning."""
    result = ScoreResult(VERDICT, audio_seconds=24.73)
    assert "may not be the same" in result.to_html(audio=SHORT)
    assert "may not be the same" not in result.to_html(audio=AUSTEN)
    assert "s: they may not be the same" in ScoreResult(VERDICT).to_html(audio=SHORT)
    assert "may not be the same" not in ScoreResult(VERDICT).to_html(audio=AUSTEN)


# The page.


class Tags(HTMLParser):
    """What a page is made of, as a browser sees it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: List[Tuple[str, Dict[str, Optional[str]]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.tags.append((tag, dict(attrs)))


def is_safe(html: str) -> bool:
    """Returns whether nothing in a page could run, load or send but its own style and script."""
    tags = Tags(html).tags
    names = [name for name, _ in tags]
    attributes = {name for _, found in tags for name in found}
    links = [found.get("href") or "" for _, found in tags if "href" in found]
    return (
        not {"img", "iframe", "link", "object", "form", "base"} & set(names)
        and not {name for name in attributes if name.startswith("on")}
        and not {"style", "src", "srcset", "action"} & attributes
        and names.count("style") == 1
        and names.count("script") == 2 + html.count('id="recording"')
        and all(link.startswith("https://") for link in links)
    )


MARKUP = "</p></script></style><img src=x onerror=x>"
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(MARKUP)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def paths(value: Any, path: Tuple[Any, ...] = ()) -> List[Tuple[Any, ...]]:
    """Returns where something stands in an object, down to every leaf; of lists, in their first item."""
    inner = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in paths(item, (*path, key)))]


def replaced(value: Any, path: Tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], new)
    return copied


@pytest.mark.slow
@given(st.sampled_from(paths(VERDICT)[1:]), ANYTHING)
def test_anything_in_any_place(path: Tuple[Any, ...], strange: Any) -> None:
    """Whatever stands in any place of a verdict, there is a page, it can be written, and nothing of it is markup."""
    html = result_page(ScoreResult(replaced(VERDICT, path, strange)))
    html.encode("utf-8")
    assert is_safe(html)


@pytest.mark.slow
def test_markup_in_any_place() -> None:
    """Markup is text in every place of a verdict that the page shows, and in all the fields around it."""
    shown = 0
    for path in paths(VERDICT)[1:]:
        html = result_page(ScoreResult(replaced(VERDICT, path, MARKUP)))
        assert is_safe(html), path
        shown += html.count("&lt;img src=x") > 1  # once in the raw data, once more where it belongs
    assert shown > 8
    fields: Dict[str, Any] = dict.fromkeys(("stream_id", "api_plan", "client"), MARKUP)
    raw = dict.fromkeys(("status", "result_link", "audio_link", "partial_error", MARKUP), MARKUP)
    assert is_safe(result_page(ScoreResult(raw, warnings=(MARKUP,), fetched=raw, **fields), title=MARKUP))


def test_deeply_nested_json() -> None:
    """A verdict nested as deep as it can be read does not keep the page from being made."""
    deep: Any = json.loads("[" * 900 + "]" * 900)
    assert "premium plan" in result_page(ScoreResult({"status": "success", "x": deep}, "the text as it came"))


def test_only_https_is_linked() -> None:
    """Links of other kinds, those of the sandbox included, are text."""
    for link in ("javascript:alert(1)", "http://127.0.0.1/r", "data:text/html,x", "HTTPS://x", " https://x", "//x"):
        html = result_page(ScoreResult({"status": "success", "result_link": link, "audio_link": link}))
        assert is_safe(html)
        assert "<a " not in html


def test_headings_promise_what_is_there() -> None:
    """Nothing to read is announced where no words came back, nor two words where there is one."""
    silent = ScoreResult({"speakers": [{}]})
    assert "<h2>Listen</h2>" in silent.to_html(audio=wav(SPEECH))
    assert "<h2>Listen</h2>" in ScoreResult({"status": "failed"}).to_html(audio=wav(SPEECH))
    one = ScoreResult({"speakers": [{"utterances": [{"text": "In.", "words": [{"text": "In", "score": 50}]}]}]})
    page = one.to_html(audio=wav(SPEECH))
    assert "<h2>Listen and read</h2>" in page
    assert re.search(r"\b1 word\s", page)
    assert page.count('data-word="0"') == 2  # in the text, and to be heard first
    assert one.to_html().count('data-word="0"') == 1


def test_the_policy_admits_one_script() -> None:
    """The page's policy names the hash of its script and of its style, and nothing wider."""
    html = result_page(ScoreResult(VERDICT))
    policy = next(found["content"] or "" for name, found in Tags(html).tags if "http-equiv" in found)
    assert "unsafe" not in policy
    assert "*" not in policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert re.search(r"; script-src 'sha256-[^ ']{44}'; ", policy)


def test_thresholds_are_shown() -> None:
    """Other thresholds put words into other bands, and the page says where the bands begin."""
    html = ScoreResult(VERDICT).to_html(thresholds=(99, 99.5))
    assert "below 99" in html
    assert html.count('class="word marked band-weak"') == 70
    assert 'class="word marked band-weak"' not in ScoreResult(VERDICT).to_html(thresholds=(0, 0))


def test_a_page_is_called_by_its_recording(tmp_path: Path) -> None:
    """Without a title, the recording's file names the page; what is no file doesn't."""
    recording = tmp_path / "Ana <3.wav"
    recording.write_bytes(AUSTEN.read_bytes())
    os.utime(recording, (1_790_000_000, 1_790_000_000))
    html = ScoreResult(VERDICT).to_html(audio=recording)
    assert re.search(r"<title>Ana &lt;3, 2026-09-2\d</title>", html)
    for nameless in (ScoreResult(VERDICT).to_html(audio=AUSTEN.read_bytes()), ScoreResult(VERDICT).to_html()):
        assert "<title>Speech report</title>" in nameless


def test_suggestions_are_shown() -> None:
    """What the server suggests for grammar and in place of simple words is on the page; a broken suggestion isn't."""
    assessment = json.loads(json.dumps(EXAMPLE))
    assessment["speakers"][0]["feedbacks"].update(
        grammar={"items": [{"original": "he go", "suggestion": "he <goes>"}, {"original": "a"}, None]},
        vocabulary={"low_level_words": [{"word": "big", "suggestions": [{"word": "huge"}]}, {"word": "b"}]},
    )
    html = ScoreResult({"status": "success", "result": assessment}).to_html()
    assert "<td><bdi>he go</bdi></td><td><bdi>he &lt;goes&gt;</bdi></td>" in html
    assert "<td><bdi>big</bdi></td><td><bdi>huge</bdi></td>" in html
    assert html.count("<tr><td>") == 2
    assert "Say it better" not in ScoreResult(VERDICT).to_html()


def test_elsas_words_are_called_so() -> None:
    """A word or a level of ELSA's never stands by itself, where it could be taken for a band of this page."""
    text = re.sub(r"<[^>]+>", "", result_page(ScoreResult(VERDICT)).partition("<main>")[2].partition("<pre")[0])
    for word in ("excellent", "C1", "B2"):
        lines = [line for line in text.splitlines() if re.search(rf"\b{word}\b", line)]
        assert [line for line in lines if "ELSA: " not in line and line.strip() != word] == []
    assert "79.6 % fair" in text
    assert "ELSA: B2, good" in text


def test_several_speakers() -> None:
    """Each speaker has a part, and the words of all are told apart."""
    two = {**EXAMPLE, "speakers": EXAMPLE["speakers"] * 2}
    html = result_page(ScoreResult({"status": "success", "result": two}))
    assert html.count('class="speaker"') == 2
    assert 'data-word="139"' in html
    assert is_safe(html)


def test_speakers_of_a_result() -> None:
    """`result.speakers` are the assessment's; without one there is none."""
    assert ScoreResult(VERDICT).speakers[0].scores.fluency == Score(88.9, "excellent", "C1")
    assert ScoreResult({"status": "success"}).speakers == ()


# The command.


@pytest.fixture(name="saved")
def _saved(tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    ScoreResult(VERDICT, audio_seconds=24.73).save(path)
    return path


def report(*arguments: Any, **variables: Any) -> Finished:
    return run(*COMMAND, "report", *map(str, arguments), **variables)


def test_report_is_written_beside_the_result(saved: Path) -> None:
    """By default the page takes the result's name; the command prints it."""
    page = saved.with_suffix(".html")
    assert report(saved) == (0, f"{page}\n".encode(), "")
    os.utime(saved, (1_790_000_000, 1_790_000_000))
    assert report(saved).status == 0
    assert re.search(r"<h1 [^>]*>result, 2026-09-2\d</h1>", page.read_text(encoding="utf-8"))


def test_report_options(saved: Path, tmp_path: Path) -> None:
    """The recording, the place, the thresholds and the title are the caller's."""
    page = tmp_path / "other.html"
    status, _, err = report(saved, "--audio", AUSTEN, "-o", page, "--thresholds", "99,99.5", "--title", "Ana <3 & co")
    assert (status, err) == (0, "")
    html = page.read_text(encoding="utf-8")
    assert ">Ana &lt;3 &amp; co</h1>" in html
    assert "below 99" in html
    assert 'id="recording"' in html


def test_report_takes_what_score_printed(tmp_path: Path) -> None:
    """The server's own object, as `score --format json` prints it, is a result too."""
    path = tmp_path / "printed.json"
    path.write_text(json.dumps(VERDICT), encoding="utf-8")
    assert report(path).status == 0


@pytest.mark.parametrize("text", ["80,60", "60", "a,b", "60,80,90", "", "nan,80"])
def test_report_refuses_bad_thresholds(text: str, saved: Path) -> None:
    """Thresholds that make no sense are named, and no page is written."""
    status, out, err = report(saved, "--thresholds", text)
    assert (status, out) == (2, b"")
    assert "--thresholds must be two numbers" in err
    assert not saved.with_suffix(".html").exists()


@pytest.mark.slow
def test_report_names_what_is_wrong(saved: Path, tmp_path: Path) -> None:
    """A missing file, another file, bad audio, and a place that can't be written have their exit statuses."""
    other = tmp_path / "other.json"
    other.write_text("[]")
    missing = tmp_path / "missing"
    for arguments, expected, words in (
        ([missing], 2, "can't read"),
        ([tmp_path], 2, "can't read"),
        ([other], 2, "is no result"),
        ([saved, "--audio", missing], 5, "no such file"),
        ([saved, "--audio", other], 5, "other.json"),
        ([saved, "-o", "-"], 2, "must be a file"),
        ([saved, "-o", tmp_path], 2, "can't write"),
        ([saved, "-o", missing / "x.html"], 2, "can't write"),
    ):
        status, out, err = report(*arguments)
        assert (status, out) == (expected, b""), err
        assert words in err
        assert "Traceback" not in err


def test_report_overwrites_only_pages(saved: Path, tmp_path: Path) -> None:
    """The page takes the place of an older page, and of nothing else: no recording, result, journal or other page."""
    recording, other, page = tmp_path / "speech.wav", tmp_path / "other.wav", tmp_path / "mine.html"
    recording.write_bytes(AUSTEN.read_bytes())
    other.write_bytes(AUSTEN.read_bytes())
    page.write_text("<!doctype html><title>Mine</title>")
    for output in (saved, recording, other, page):
        before = output.read_bytes()
        status, _, err = report(saved, "--audio", recording, "-o", output)
        assert status == 2
        assert "would be overwritten" in err
        assert output.read_bytes() == before


@pytest.mark.slow(everywhere=True)
@posix
def test_report_prints_the_name_byte_for_byte(saved: Path, tmp_path: Path) -> None:
    """A page whose name is no text in the encoding of standard output is told all the same."""
    for name, encoding in ((b"caf\xe9.html", "utf-8"), ("\u00e9.html".encode(), "ascii")):
        page = os.fsencode(tmp_path) + b"/" + name
        assert report(saved, "-o", os.fsdecode(page), PYTHONIOENCODING=encoding) == (0, page + b"\n", "")


@pytest.mark.slow(everywhere=True)
@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_report_without_room_for_the_name(saved: Path) -> None:
    """Where standard output can't be written the page is there, and one line says so: no traceback, no timeout."""
    with FULL.open("wb") as full:
        status, _, err = run(*COMMAND, "report", str(saved), stdout=full)
    assert status == 2
    assert err.count("\n") == 1
    assert "can't write to standard output" in err
    assert saved.with_suffix(".html").exists()


def test_report_of_journals(saved: Path, tmp_path: Path) -> None:
    """A journal's audio is a folder of recordings. Several journals make one page; a result is none of them."""
    journal, later = tmp_path / "scores.jsonl", tmp_path / "later.jsonl"
    for path in (journal, later):
        path.write_text(json.dumps({"v": 1, "sha256": "0" * 64}) + "\n")
    for arguments, words in (
        ([journal, "--audio", SHORT], "--audio must be the folder"),
        ([journal, saved], "is no journal"),
        ([journal, "-"], "save it to a file first"),
    ):
        status, _, err = report(*arguments)
        assert status == 2
        assert words in err
    status, out, err = report(journal, later, "--audio", tmp_path)
    assert (status, out) == (0, f"{journal.with_suffix('.html')}\n".encode())
    assert re.search(r"the page has \d\.\d MB", err)


def test_another_length_is_told(saved: Path) -> None:
    """Who gives another recording than was scored reads so in the terminal, too."""
    status, _, err = report(saved, "--audio", SHORT)
    assert status == 0
    assert re.search(
        r"lasts \d\.\d s, the one that was scored 24\.7 s: they may not be the same", " ".join(err.split())
    )


@pytest.mark.slow(everywhere=True)
def test_missing_extra_is_named(saved: Path, tmp_path: Path) -> None:
    """Without Jinja2 the error says what to install, and the rest of the package works."""
    variables: Dict[str, Any] = dict(shadow(tmp_path, "jinja2", "raise ImportError('not here')"))
    status, _, err = report(saved, **variables)
    assert status == 2
    assert "pip install 'elsa-unscripted[report]'" in err
    script = "import elsa_unscripted, elsa_unscripted.cli; from elsa_unscripted.results.result import ScoreResult"
    assert run(sys.executable, "-c", script, **variables).status == 0
