"""A result as terminal text."""

from __future__ import annotations

import copy
import dataclasses
import unicodedata
from dataclasses import replace
from typing import Any, Dict, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elsa_unscripted.cli.summary import summarize
from elsa_unscripted.results.result import ScoreResult, Timings
from elsa_unscripted.results.text import printable

SAID = "I think the rural way is thoroughly different. Three months would teach me patience."
SCORES = {"think": 41.0, "rural": 47.5, "thoroughly": 38.2}
FULL: Dict[str, Any] = {
    "status": "success",
    "result_link": "https://elsa.example/r/1",
    "audio_link": "",
    "assessment": {
        "recording_quality": "good",
        "assessment_quality": "ok",
        "transcript": SAID,
        "speakers": [
            {
                "speaker_id": "0",
                "total_time": 24.25,
                "metrics": {
                    "general_scores": {
                        "elsa": {
                            "eps_score": 78.4,
                            "eps_decision": "upper intermediate",
                            "pronunciation_score": 83.1,
                            "pronunciation_decision": "advanced",
                            "intonation_score": 61,
                            "fluency_score": 100,
                            "grammar_score": 0,
                        },
                        "cefr": {"overall_cefr": "B2", "pronunciation_cefr": "C1", "intonation_cefr": "B1"},
                        "other_scores": {"ielts_score": 6.5, "toeic_score": 785},
                    },
                    "other_metrics": {"fluency": {"words_per_minute": 128.4}},
                },
                "feedbacks": {
                    "pronunciation": {
                        "top_errors": [
                            {"phoneme": "r", "errors": [{"type": "deletion", "count": 2}]},
                            {
                                "phoneme": "θ",
                                "errors": [
                                    {
                                        "error_phoneme": "t",
                                        "type": "substitution",
                                        "count": 12,
                                        "examples": [{"text": "think"}, {"text": "three"}],
                                    }
                                ],
                            },
                        ]
                    }
                },
                "utterances": [
                    {"words": [{"text": word, "score": SCORES.get(word, 90)} for word in SAID.replace(".", "").split()]}
                ],
            }
        ],
    },
}
FULL_TEXT = """\
Overall        78.4 %  fair  ELSA: B2, upper intermediate

Pronunciation  █████████████████░░░   83.1 %  good  ELSA: C1, advanced
Intonation     ████████████░░░░░░░░   61.0 %  fair  ELSA: B1
Fluency        ████████████████████  100.0 %  good
Grammar        ░░░░░░░░░░░░░░░░░░░░    0.0 %  weak
Vocabulary     not enough speech
               The metrics need more than about 20 s of speech; grammar and
               vocabulary have minimums of their own.
               weak below 60, fair from 60, good from 80 %: ours, not ELSA's

Equivalents    IELTS 6.5, TOEIC 785 (estimated)
Delivery       128.4 words per minute
Length         26.5 s of audio, 24.25 s of speech

Transcript     I [think] the [rural] way is [thoroughly] different. Three months
               would teach me patience.
  [weakest]    thoroughly 38.2 %, think 41.0 %, rural 47.5 %

Sound errors   θ → t  substitution  12 x  think, three
               r      deletion       2 x

Quality        ELSA: recording good, assessment ok
               ! the file ends early
"""
PAGE_TEXT = """
Next           A page: elsa-unscripted report FILE, of a result that was saved
               with score --format saved -o FILE."""
VERBOSE_TEXT = """
Result link    https://elsa.example/r/1
Stream         3f9c2d
Timing         connected 0.12 s, verdict 27.90 s
"""
NULL_TEXT = """\
Overall        not scored
               There was not enough speech. The metrics need more than about
               20 s of speech; grammar and vocabulary have minimums of their
               own.

Length         4 s of audio

Quality        ! partial assessment: too_short (more than about 20 s of speech
               needed)

Next           Record again, and speak for longer."""
ABSENT_TEXT = """\
Assessment     none
               The server sent no assessment. The documented one comes with the
               premium plan, and with return_json on.

Next           Score again with --plan premium, which has the assessment."""


def full(**assessment: Any) -> ScoreResult:
    raw = copy.deepcopy(FULL)
    raw["assessment"].update(assessment)
    return ScoreResult(
        raw,
        stream_id="3f9c2d",
        timings=Timings(connect=0.12, verdict=27.9),
        audio_seconds=26.5,
        warnings=("the file ends early",),
    )


def hostile(text: str) -> ScoreResult:
    """A result whose every text is `text`."""

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return text if isinstance(value, str) else value

    raw = {**replaced(FULL), "partial_error": text, "audio_link": text}
    return ScoreResult(raw, stream_id=text, audio_seconds=1e300, warnings=(text,))


def columns(line: str) -> int:
    """The cells of a line, counted apart from the code under test."""
    zero = ("Mn", "Me", "Cf")
    return sum(
        0 if unicodedata.category(char) in zero else 1 + (unicodedata.east_asian_width(char) in "WF") for char in line
    )


def widest(text: str) -> int:
    return max(map(columns, text.split("\n")))


def only_speaker(**fields: Any) -> ScoreResult:
    return ScoreResult({"speakers": [fields]})


def test_full_result() -> None:
    """A full result shows the overall score first, then skills, equivalents, transcript, errors, quality, timings."""
    assert summarize(full()) == FULL_TEXT + PAGE_TEXT


@pytest.mark.parametrize("speaker", [{}, {"metrics": None}, {"metrics": {"general_scores": {"elsa": {}}}}])
def test_nothing_scored(speaker: Dict[str, Any]) -> None:
    """Where nothing was scored, the text says so and gives the documented reason."""
    raw = {"status": "success", "partial_error": "too_short", "speakers": [speaker]}
    assert summarize(ScoreResult(raw, audio_seconds=4.0)) == NULL_TEXT


@pytest.mark.parametrize(
    ("audio_seconds", "total_time", "short"),
    [
        (0.0, 19.9, True),
        (60.0, 5, True),
        (19.9, None, True),
        (60.0, None, False),
        (60.0, 20, False),
        (0.0, None, False),
    ],
)
def test_the_reason_is_a_reason(audio_seconds: float, total_time: Optional[float], short: bool) -> None:
    """Too little speech is given as the reason only where there was too little, by what is documented."""
    text = summarize(ScoreResult({"speakers": [{"total_time": total_time}]}, audio_seconds=audio_seconds))
    assert ("There was not enough speech." in text) == short
    assert ("The server gave no score" in text) != short


def test_the_sandbox_gives_its_own_reason() -> None:
    """It doesn't blame the recording for what it can't do, unless that is too short."""
    sandboxed = {"sandbox": True, "speakers": [{}]}
    assert "not enough speech" not in summarize(ScoreResult(sandboxed, audio_seconds=24.7)).replace("\n", " ")
    assert "can't assess speech" in summarize(ScoreResult(sandboxed, audio_seconds=24.7))
    assert "There was not enough speech." in summarize(ScoreResult(sandboxed, audio_seconds=4.0))


def test_no_assessment() -> None:
    """Without an assessment the text says what would bring one, and shows the links."""
    assert summarize(ScoreResult({"status": "success", "result_link": "https://elsa.example/r/1"})) == ABSENT_TEXT


@pytest.mark.parametrize("status", ["failed", "bad_quality"])
def test_a_failure_is_no_question_of_the_plan(status: str) -> None:
    """A verdict of failure in a file, as the vendor's script writes it, is told as one: no plan would have helped."""
    text = summarize(ScoreResult({"status": status}))
    assert f"could not assess this recording: {status}" in " ".join(text.split())
    assert "plan" not in text


def test_no_speaker() -> None:
    """An assessment of nobody still shows its transcript."""
    text = summarize(ScoreResult({"speakers": [], "transcript": "hello"}))
    assert "no speaker" in text
    assert "hello" in text


def test_several_speakers_are_named() -> None:
    """Each of several speakers has a name, and the words that are theirs."""
    speakers = [{"speaker_id": name, "utterances": [{"text": f"I am {name}."}]} for name in ("Ann", "Bob")]
    text = summarize(ScoreResult({"speakers": speakers, "transcript": "I am Ann. I am Bob."}))
    assert text.index("I am Ann.") < text.index("Speaker        Bob") < text.index("I am Bob.")


@pytest.mark.parametrize("inside", [False, True])
def test_sandbox_is_labelled(inside: bool) -> None:
    """A sandbox's result says first that it is made up, and shows what was measured."""
    marks = {"sandbox": True, "measured": {"speech_seconds": 3.25, "pauses": [1], "clipping": False}}
    assessment: Dict[str, Any] = {"speakers": [{}], **(marks if inside else {})}
    text = summarize(ScoreResult({"assessment": assessment, **({} if inside else marks)}))
    assert text.startswith("Sandbox        The sandbox made this result, not ELSA.")
    assert "speech seconds 3.25, clipping False" in text
    assert "pauses" not in text


def test_sandbox_without_measurements_is_labelled() -> None:
    """A sandbox's result that measured nothing is labelled all the same."""
    assert summarize(ScoreResult({"sandbox": True})).startswith("Sandbox ")


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mred\x1b]0;title\x07\r\x00\x9b2J",
        "\u202eevil\u2066\u2028\n\nnext",
        "a" * 1_000_000,
        "漢字" * 500,
        "👩‍👩‍👧❤️ 🇩🇪 " * 50,
        "שלום עולם 12",
        "e" + "\u0301" * 5000,
        "\ud800 lone",
        "[think] <script>",
    ],
    ids=["escapes", "bidi", "megabyte", "cjk", "emoji", "hebrew", "combining", "surrogate", "markup"],
)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_hostile_text_keeps_the_page_whole(text: str, width: int) -> None:
    """No text of the server widens a line, breaks one, or reaches the terminal as a control."""
    page = summarize(hostile(text), width=width)
    assert widest(page) <= width
    shown = page.replace("\n", "")
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u200e\u200f")
    in_ascii = summarize(hostile(text), width=width, ascii_only=True)
    assert in_ascii.isascii()
    assert widest(in_ascii) <= width


def test_a_number_and_its_unit_stay_together() -> None:
    """However wide the page, the 20 s that are needed stand on one line."""
    result = ScoreResult({"partial_error": "too_short", "speakers": [{}]})
    assert {summarize(result, width=width).count("20 s") for width in range(40, 120)} == {2}


def test_columns_stay_aligned_beside_wide_text() -> None:
    """Wide or right-to-left levels and words begin in one column: what stands before them is as wide on each line."""
    levels = {"pronunciation_cefr": "漢字", "intonation_cefr": "ab", "fluency_cefr": "שלום"}
    skills = ("pronunciation", "intonation", "fluency")
    elsa: Dict[str, Any] = {f"{name}_score": 50 for name in skills}
    elsa.update({f"{name}_decision": "HERE" for name in skills})
    text = summarize(only_speaker(metrics={"general_scores": {"elsa": elsa, "cefr": levels}}))
    assert {columns(line.split("ELSA:")[0]) for line in text.split("\n") if "HERE" in line} == {52}
    assert "\u2068שלום\u2069" in text


@pytest.mark.parametrize("value", [-5.0, 1e300, 12345.6])
def test_absurd_scores_keep_the_page_whole(value: float) -> None:
    """A score outside 0 to 100 % is shown as it is, with a bar that is empty or full."""
    elsa = {"eps_score": value, "fluency_score": value, "fluency_decision": "x" * 99}
    assert widest(summarize(only_speaker(metrics={"general_scores": {"elsa": elsa}}), width=40)) <= 40


def test_ascii_page() -> None:
    """For a C locale, bars are ASCII and other characters are spelled out."""
    text = summarize(full(transcript="naïve…"), ascii_only=True)
    assert "Pronunciation  #################---   83.1 %" in text
    assert r"na\xefve..." in text
    assert text.isascii()


def test_color_adds_only_escape_sequences() -> None:
    """With colours the text is the same once its escape sequences are taken out; without, there are none."""
    colored = summarize(full(), color=True)
    assert "\x1b[31m[think]\x1b[0m" in colored
    for code in (0, 1, 2, 31, 32, 33):
        colored = colored.replace(f"\x1b[{code}m", "")
    assert colored == FULL_TEXT + PAGE_TEXT


def test_a_word_is_told_once() -> None:
    """A word that was weak in several places is marked in each, and listed once, at its worst."""
    words = [{"text": "The", "score": 50}, {"text": "the", "score": 40}, *[{"text": "end", "score": 90}] * 9]
    text = summarize(only_speaker(utterances=[{"words": words}]))
    assert "[The] [the] end" in text
    assert "[weakest]    the 40.0 %\n" in text + "\n"


def test_a_word_that_is_spelled_otherwise_moves_no_mark() -> None:
    """A word that the transcript lacks, or has only further on, does not put the marks of the others elsewhere."""
    words = [{"text": word, "score": 40 if word == "to" else 90} for word in ("a", "leisure", "to", "see", "the")]
    text = "A pleasure to see the leisure to."
    marked = summarize(ScoreResult({"transcript": text, "speakers": [{"utterances": [{"words": words}]}]}))
    assert "A pleasure [to] see the leisure to." in marked


def test_transcript_without_words_is_not_marked() -> None:
    """Without words the transcript is shown as it came."""
    assert "A [plain] one." in summarize(ScoreResult({"speakers": [{}], "transcript": "A [plain] one."}))


def test_long_lists_are_cut_short() -> None:
    """Of many sound errors the most frequent are shown, and the rest is counted."""
    errors = [{"error_phoneme": "t", "count": count} for count in range(1, 9)]
    text = summarize(only_speaker(feedbacks={"pronunciation": {"top_errors": [{"phoneme": "θ", "errors": errors}]}}))
    assert "8 x" in text
    assert "3 x" not in text
    assert "and 3 more" in text


def test_long_link_is_whole() -> None:
    """A link longer than a line is there to the last character, without an indent."""
    link = "https://elsa.example/" + "x" * 200
    lines = summarize(ScoreResult({"result_link": link}), verbose=True).split("\n")
    assert "".join(lines[-5:-2]) == link


def test_a_streams_name_is_whole() -> None:
    """A stream's name that is as long as a UUID stands on one line of 40 columns: it is copied for the support."""
    stream = "c1f0fbf0-bc93-47d2-b80c-072eabec8894"
    text = summarize(ScoreResult({}, stream_id=stream), verbose=True, width=40)
    assert f"\n{stream}\n" in text
    assert widest(text) <= 40


def test_who_has_the_page_is_not_told_how_to_make_one() -> None:
    """With `has_page` there is no last line about a page; one on what is wrong with the recording stays."""
    assert summarize(full(), has_page=True) == FULL_TEXT.rstrip("\n")
    raw = {"speakers": [{"total_time": 1.0}], "partial_error": "too_short"}
    assert "Record again" in summarize(ScoreResult(raw, audio_seconds=4.0), has_page=True)


def test_links_stream_and_timing_are_for_who_asks() -> None:
    """With `verbose` they stand before the last line; without it, no one of them is there."""
    assert summarize(full(), verbose=True) == FULL_TEXT + VERBOSE_TEXT + PAGE_TEXT
    assert "3f9c2d" not in summarize(full())


def test_nothing_is_cut_on_a_narrow_terminal() -> None:
    """On 40 columns an id, an example and a link are wrapped, never cut; no line is wider."""
    speaker = copy.deepcopy(FULL["assessment"]["speakers"][0])
    error = speaker["feedbacks"]["pronunciation"]["top_errors"][1]["errors"][0]
    error["examples"] = [{"text": word} for word in ("thoroughly", "unthinkable", "northernmost", "thousandth")]
    result = dataclasses.replace(full(speakers=[speaker, speaker]), stream_id="3cbdec35-4a99-4a1f-8d0e-0f6a7e0c5b1d")
    text = summarize(result, width=40, verbose=True)
    assert max(map(len, text.splitlines())) <= 40
    assert "…" not in text
    for whole in ("thoroughly", "unthinkable", "northernmost", "thousandth", "substitution"):
        assert whole in text
    assert "3cbdec35-4a99-4a1f-8d0e-0f6a7e0c5b1d" in "".join(line.strip() for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain — naïve 漢字", None),
        ("می\u200cخواهم", None),
        ("no\u00a0break", None),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\x7f", r"a\nb\tc\x7f"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("\ufeff\ud800", r"\ufeff\ud800"),
    ],
)
def test_printable(text: str, expected: Optional[str]) -> None:
    """What a terminal would obey or hide is spelled out; letters and joiners stay."""
    assert printable(text) == (text if expected is None else expected)


@given(st.text(), st.integers(0, 100), st.booleans())
def test_any_text_keeps_the_page_whole(text: str, width: int, ascii_only: bool) -> None:
    """Whatever the server says, no line is wider than the page."""
    assert widest(summarize(hostile(text), width=width, ascii_only=ascii_only)) <= max(width, 40)


@pytest.mark.parametrize(
    ("ended_by", "told"),
    [("server", "the server, after 2.5 s of audio"), ("limit", "the limit of seconds, after 2.5 s of audio")],
)
def test_what_ended_the_audio(ended_by: str, told: str) -> None:
    """If the audio didn't end by itself, the summary tells what ended it, and when."""
    result = ScoreResult({"status": "success"}, audio_seconds=9.0, audio_seconds_sent=2.5, ended_by=ended_by)
    assert f"\nEnded by       {told}" in summarize(result)
    for other in ("source", None):
        assert "Ended by" not in summarize(replace(result, ended_by=other))
