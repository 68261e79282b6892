"""Typed views of the server's assessment. Made by `ScoreResult.assessment`; read by callers, `facts` and the table.

The assessment comes and goes with the plan and the length of speech, so every field is optional and
reading never raises: a field that is missing, `null` or of a strange type reads as `None` (a list as
`()`), and `None` means "not scored", never 0. A strange type is logged once per field and process.

A view holds the server's object (`.raw`, with all that the view does not know) and reads a field when
it is looked at. Each field below names the keys it is read from; the first that can be read counts.
Source of the names: "Unscripted API info" on ELSA's public pages. The keys of words, sounds and suggestions are not
public for the unscripted API: those tried are guesses, and those that others' code uses for ELSA's scripted API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

from .score import Score
from .view import View, as_count, as_identifier, as_number, as_text, made, many, one, part

__all__ = [
    "SKILLS",
    "Assessment",
    "Equivalents",
    "Example",
    "Feedback",
    "GrammarSuggestion",
    "LowLevelWord",
    "Metrics",
    "Phoneme",
    "PhonemeError",
    "Score",
    "Scores",
    "Speaker",
    "TopError",
    "Utterance",
    "Word",
    "WordStress",
    "WordSuggestion",
    "find_assessment",
]

SKILLS = ("pronunciation", "intonation", "fluency", "grammar", "vocabulary")  # in ELSA's order


def find_assessment(message: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
    """Finds the assessment in a verdict: the object whose `speakers` is a list.

    The key it comes under is not public, so it is looked for at the top level and then one level down.
    """
    for candidate in (message, *message.values()):
        if isinstance(candidate, Mapping) and isinstance(candidate.get("speakers"), list):
            return candidate
    return None


def _read_score(view: View, name: str, cefr_name: str) -> Score:
    return Score(
        value=view.read(as_number, f"elsa.{name}_score"),
        decision=view.read(as_text, f"elsa.{name}_decision"),
        cefr=view.read(as_text, f"cefr.{cefr_name}_cefr"),
        raw=view.raw,
    )


@dataclass(frozen=True, repr=False)
class Scores(View):
    """The overall score and the five skills; each is a `Score`, an empty one if it was not scored.

    Attributes:
        overall: The server's `eps_score`.
        pronunciation: How the sounds were said.
        intonation: Melody and stress.
        fluency: Pace and pauses.
        grammar: From what was said.
        vocabulary: From what was said.
    """

    overall = made(lambda view: _read_score(view, "eps", "overall"))
    pronunciation = made(lambda view: _read_score(view, "pronunciation", "pronunciation"))
    intonation = made(lambda view: _read_score(view, "intonation", "intonation"))
    fluency = made(lambda view: _read_score(view, "fluency", "fluency"))
    grammar = made(lambda view: _read_score(view, "grammar", "grammar"))
    vocabulary = made(lambda view: _read_score(view, "vocabulary", "vocabulary"))

    @property
    def skills(self) -> Mapping[str, Score]:
        """The five skills by name, in the order of `SKILLS`."""
        return {name: getattr(self, name) for name in SKILLS}

    @property
    def any_scored(self) -> bool:
        """Whether there is a number at all."""
        return any(score.value is not None for score in (self.overall, *self.skills.values()))


@dataclass(frozen=True, repr=False)
class Equivalents(View):
    """What the speech would score in other tests, each on that test's own scale.

    Attributes:
        ielts: IELTS band.
        toefl: TOEFL points.
        toeic: TOEIC points.
        pte: PTE points.
    """

    ielts = one(as_number, "ielts_score")
    toefl = one(as_number, "toefl_score")
    toeic = one(as_number, "toeic_score")
    pte = one(as_number, "pte_score")


@dataclass(frozen=True, repr=False)
class Metrics(View):
    """The measurements beside the scores.

    Attributes:
        advanced_pronunciation_score: Percent.
        words_per_minute: Words per minute.
        words_per_minute_min: The lower end of its range.
        words_per_minute_max: The upper end of its range.
        pausing_score: Percent.
        energy_variation: On the server's own scale; its unit is not public.
        pitch_variation: On the server's own scale; its unit is not public.
        word_prominence_score: Percent.
        word_prominence_cefr: The CEFR level of the word prominence.
    """

    advanced_pronunciation_score = one(as_number, "pronunciation.advanced_pronunciation_score")
    words_per_minute = one(as_number, "fluency.words_per_minute")
    words_per_minute_min = one(as_number, "fluency.words_per_minute_min")
    words_per_minute_max = one(as_number, "fluency.words_per_minute_max")
    pausing_score = one(as_number, "fluency.pausing_score")
    energy_variation = one(as_number, "intonation.energy_variation")
    pitch_variation = one(as_number, "intonation.pitch_variation")
    word_prominence_score = one(as_number, "intonation.word_prominence_score")
    word_prominence_cefr = one(as_text, "intonation.word_prominence_cefr")


@dataclass(frozen=True, repr=False)
class Example(View):
    """A word or phrase in which an error was heard.

    Attributes:
        text: As it is spelled.
    """

    text = one(as_text, "text")


@dataclass(frozen=True, repr=False)
class PhonemeError(View):
    """One way in which a sound went wrong.

    Attributes:
        error_phoneme: The sound that was heard instead.
        type: The kind of error, in the server's word.
        count: How many times it was heard.
        examples: Where it was heard.
    """

    error_phoneme = one(as_text, "error_phoneme")
    type = one(as_text, "type")
    count = one(as_count, "count")
    examples = many(Example, "examples")


@dataclass(frozen=True, repr=False)
class TopError(View):
    """A sound that often went wrong, and the ways in which it did.

    Attributes:
        phoneme: The sound that was meant, in the notation that the server uses.
        errors: What was heard in its place, and how often.
    """

    phoneme = one(as_text, "phoneme")
    errors = many(PhonemeError, "errors")


@dataclass(frozen=True, repr=False)
class Feedback(View):
    """What the server advises on a sound.

    Attributes:
        feedback_id: The server's name for it; a number reads as text.
        text: The advice.
        audio_link: Where it can be heard.
        language: The language of the text.
    """

    feedback_id = one(as_identifier, "id")
    text = one(as_text, "text")
    audio_link = one(as_text, "audio_link")
    language = one(as_text, "language")


@dataclass(frozen=True, repr=False)
class Phoneme(View):
    """A sound of a word.

    Attributes:
        symbol: The sound, in the notation that the server uses.
        text: How it is spelled in the word.
        ipa: The sound in IPA.
        trans_arpabet: The sound in ARPAbet.
        score: Percent.
        decision: The server's judgement in words.
        heard: The sound that was heard instead.
        heard_arpabet: The same in ARPAbet.
        start: Seconds from the start of the audio.
        end: Seconds from the start of the audio.
        start_index: Where its letters begin in the word's text.
        end_index: Where they end.
        feedback: What the server advises.
    """

    symbol = one(as_text, "phoneme", "ipa", "trans_arpabet", "trans", "text")
    text = one(as_text, "text")
    ipa = one(as_text, "ipa")
    trans_arpabet = one(as_text, "trans_arpabet")
    score = one(as_number, "nativeness_score", "score")
    decision = one(as_text, "decision")
    heard = one(as_text, "error_phoneme", "phoneme_error", "phoneme_error_arpabet")
    heard_arpabet = one(as_text, "phoneme_error_arpabet")
    start = one(as_number, "start_time", "start")
    end = one(as_number, "end_time", "end")
    start_index = one(as_count, "start_index")
    end_index = one(as_count, "end_index")
    feedback = many(Feedback, "feedback")


@dataclass(frozen=True, repr=False)
class WordStress(View):
    """How a syllable was stressed.

    Attributes:
        start_index: Where its letters begin in the word's text.
        end_index: Where they end.
        decision: The server's judgement in words.
        measured: The stress that was heard, on the server's own scale.
    """

    start_index = one(as_count, "start_index")
    end_index = one(as_count, "end_index")
    decision = one(as_text, "decision")
    measured = one(as_identifier, "stress_level_measured")


@dataclass(frozen=True, repr=False)
class Word(View):
    """A word that was heard.

    Attributes:
        text: The word.
        score: Percent.
        decision: The server's judgement in words.
        start: Seconds from the start of the audio.
        end: Seconds from the start of the audio.
        start_index: Where it begins in the text of its utterance.
        end_index: Where it ends there.
        trans: Its sounds, in the notation that the server uses.
        trans_arpabet: Its sounds in ARPAbet.
        ipa: Its sounds in IPA.
        decoded: What was heard.
        phonemes: Its sounds.
        word_stress: How its syllables were stressed.
    """

    text = one(as_text, "text", "word")
    score = one(as_number, "nativeness_score", "score")
    decision = one(as_text, "decision")
    start = one(as_number, "start_time", "start")
    end = one(as_number, "end_time", "end")
    start_index = one(as_count, "start_index")
    end_index = one(as_count, "end_index")
    trans = one(as_text, "trans")
    trans_arpabet = one(as_text, "trans_arpabet")
    ipa = one(as_text, "ipa")
    decoded = one(as_text, "decoded")
    phonemes = many(Phoneme, "phonemes")
    word_stress = many(WordStress, "word_stress")


@dataclass(frozen=True, repr=False)
class Utterance(View):
    """A stretch of speech between pauses.

    Attributes:
        utterance_id: The server's name for it; a number reads as text.
        text: What was heard.
        score: Percent, the server's `nativeness_score`.
        words: Its words. Whether they lie in `result` is not public: both places are looked at.
    """

    utterance_id = one(as_identifier, "utterance_id")
    text = one(as_text, "text")
    score = one(as_number, "result.nativeness_score")
    words = many(Word, "words", "result.words")


@dataclass(frozen=True, repr=False)
class GrammarSuggestion(View):
    """What would have been better grammar.

    Attributes:
        original: What was said.
        suggestion: What to say.
    """

    original = one(as_text, "original")
    suggestion = one(as_text, "suggestion")


@dataclass(frozen=True, repr=False)
class WordSuggestion(View):
    """A word to say in place of a simple one.

    Attributes:
        text: The word.
    """

    text = one(as_text, "word", "text")


@dataclass(frozen=True, repr=False)
class LowLevelWord(View):
    """A simple word that was said.

    Attributes:
        text: The word.
        suggestions: What to say in its place.
    """

    text = one(as_text, "word", "text")
    suggestions = many(WordSuggestion, "suggestions")


@dataclass(frozen=True, repr=False)
class Speaker(View):
    """One person in the recording; the service looks for one only, unless told otherwise.

    Attributes:
        speaker_id: The server's name for the speaker; a number reads as text.
        total_time: Seconds that the speaker spoke.
        scores: The overall score and the five skills.
        equivalents: What the speech would score in other tests.
        metrics: Pace, pauses, variation.
        top_errors: The sounds that most often went wrong.
        grammar_suggestions: What would have been better grammar.
        low_level_words: Simple words, and what to say in their place.
        utterances: What was said, down to words and sounds.
    """

    speaker_id = one(as_identifier, "speaker_id")
    total_time = one(as_number, "total_time")
    scores = part(Scores, "metrics.general_scores")
    equivalents = part(Equivalents, "metrics.general_scores.other_scores")
    metrics = part(Metrics, "metrics.other_metrics")
    top_errors = many(TopError, "feedbacks.pronunciation.top_errors")
    grammar_suggestions = many(GrammarSuggestion, "feedbacks.grammar.items")
    low_level_words = many(LowLevelWord, "feedbacks.vocabulary.low_level_words")
    utterances = many(Utterance, "utterances")

    @property
    def words(self) -> Tuple[Word, ...]:
        """The words of all utterances, in order."""
        return tuple(word for utterance in self.utterances for word in utterance.words)


@dataclass(frozen=True, repr=False)
class Assessment(View):
    """The whole assessment.

    Attributes:
        recording_quality: The server's word on the recording.
        assessment_quality: The server's word on its own assessment.
        transcript: What was heard.
        speakers: Who spoke, usually one.

    Example:
        >>> assessment = Assessment({"speakers": [{"total_time": 31.5}]})
        >>> assessment.speakers[0].total_time, assessment.speakers[0].scores.fluency
        (31.5, Score(value=None, decision=None, cefr=None))
    """

    recording_quality = one(as_text, "recording_quality")
    assessment_quality = one(as_text, "assessment_quality")
    transcript = one(as_text, "transcript")
    speakers = many(Speaker, "speakers")
