"""Tells whether a recording is worth sending: `AudioCheck`, with findings. Called by `api`, `exchange` and `cli`.

An error is certain: what is sent would be paid for, and nothing can come of it. A warning is likely: the assessment may
be partial or worse. Not claimed are the number of speakers, the language, and whether the speech can be understood.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Literal, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ..exceptions import AudioError
from ..log import Log
from . import vad
from .container import Warned
from .level import is_silent
from .measures import FRAME_SECONDS, Voice, decibels, high_band, percentile, signal_to_noise
from .packets import Format
from .recording import SILENT, Recording, load, path_name

__all__ = ["THRESHOLDS", "AudioCheck", "Finding", "Threshold", "check", "check_recording", "refuse"]


class Threshold(NamedTuple):
    """From where a measure is a finding, in which unit, and who says so."""

    value: float
    unit: str
    source: str


_CALIBRATED = "ours: calibrated by scripts/calibrate_check.py"

# One table for all of them. In README.md of this folder is what they find, and what they don't.
THRESHOLDS: Mapping[str, Threshold] = {
    "no_speech": Threshold(0.5, "s of speech, at least", "ours: a word takes about as long"),
    "short": Threshold(20.0, "s of speech, at least", "ELSA's: an assessment needs so much"),
    "quiet": Threshold(-40.0, "dBFS, at least: the 98th percentile of speech", _CALIBRATED),
    "clipped": Threshold(0.001, "of the samples, at most", _CALIBRATED),
    "noisy": Threshold(10.0, "dB of speech over pauses, at least", _CALIBRATED),
    "narrow_band": Threshold(-25.0, "dB of speech above 4.3 kHz, at least: the 95th percentile", _CALIBRATED),
    "sample_rate": Threshold(8000.0, "Hz, more than", "Nyquist's: at 8 kHz, there is nothing above 4 kHz"),
    "dc": Threshold(0.05, "of full scale, at most", "ours: from there on, it leaves less room for the speech"),
    "silence": Threshold(0.3, "of the recording is speech, at least", "ours: the rest is paid for, too"),
    "ends": Threshold(15.0, "s of silence at one end, less than", "ours: a unit that is billed"),
}

QUIETER = 30.0  # dB below the loudest frames: what is quieter counts as silence where speech isn't looked for


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a recording.

    Attributes:
        level: `"error"` if the recording is certainly worthless, `"warning"` if its assessment is likely to suffer.
        code: The kind of fault, such as `"quiet"`: one of the table in README.md of this folder.
        value: The number that was measured; `None` where there is none.
        message: What was measured, and what that does to the assessment: the rest of a sentence that begins with the
            recording's name.
        hint: What to do.
    """

    level: Literal["error", "warning"]
    code: str
    value: Optional[float]
    message: str
    hint: str


@dataclass(frozen=True)
class AudioCheck:
    """What was measured of a recording, and what is wrong with it. What could not be measured is `None`.

    Attributes:
        path: The recording's path; `None` for bytes and file objects.
        seconds: How long it is.
        findings: What is wrong, errors first.
        sample_rate: Hz of what is sent.
        channels: Channels of what is sent.
        bits: Bits in a sample of what is sent.
        rms: Level of the whole recording (root mean square), in dBFS: dB relative to full scale.
        peak: The largest sample, in dBFS.
        speech_level: The 98th percentile of the level of its frames of speech, 32 ms each, in dBFS; without the extra
            `check`, of its frames of any sound.
        clipped: The part of the samples that is clipped, 0 to 1, in the channel that has the most.
        dc: How far the wave is off zero, -1 to 1.
        silence_start: Seconds before the first speech; without the extra, before the first sound.
        silence_end: Seconds after the last speech or sound.
        speech_seconds: Seconds of speech. This, `speech_ratio`, `snr` and `high_band` need the extra.
        speech_ratio: The part of the recording that is speech, 0 to 1.
        snr: Power of speech over the median power of the pauses, in dB.
        high_band: The part of the energy of speech that is above 4.3 kHz, in dB: the 95th percentile of its frames.
        channel_relation: `"equal"`, `"opposite"` if the channels cancel each other out when they are mixed, or `None`.
        gaps: Seconds for which the file's time stamps leave room, but that hold no audio.
        decoding: The warnings that decoding gave, as sentences.
        speech_measured: Whether the extra was there, so that speech was looked for.
    """

    path: Optional[str] = None
    seconds: Optional[float] = None
    findings: Tuple[Finding, ...] = ()
    sample_rate: Optional[int] = None
    channels: Optional[int] = None
    bits: Optional[int] = None
    rms: Optional[float] = None
    peak: Optional[float] = None
    speech_level: Optional[float] = None
    clipped: Optional[float] = None
    dc: Optional[float] = None
    silence_start: Optional[float] = None
    silence_end: Optional[float] = None
    speech_seconds: Optional[float] = None
    speech_ratio: Optional[float] = None
    snr: Optional[float] = None
    high_band: Optional[float] = None
    channel_relation: Optional[Literal["equal", "opposite"]] = None
    gaps: float = 0.0
    decoding: Tuple[str, ...] = ()
    speech_measured: bool = False

    @property
    def errors(self) -> Tuple[Finding, ...]:
        """The findings that make the recording worthless."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    @property
    def warnings(self) -> Tuple[Finding, ...]:
        """The findings that are likely to make the assessment partial or worse."""
        return tuple(finding for finding in self.findings if finding.level == "warning")

    @property
    def level(self) -> Literal["error", "warning", "ok"]:
        """The worst level of its findings; `"ok"` without any."""
        return "error" if self.errors else "warning" if self.findings else "ok"

    def to_dict(self) -> Dict[str, Any]:
        """Returns it as plain data, for JSON; numbers are rounded to four digits behind the point."""
        data = dataclasses.asdict(self)
        data["findings"] = [dict(vars(finding), value=_rounded(finding.value)) for finding in self.findings]
        data["decoding"] = list(self.decoding)
        return {name: _rounded(value) for name, value in data.items()}


def check(audio: Any) -> AudioCheck:
    """Checks a recording; nothing leaves the machine. See `elsa_unscripted.check_audio()`."""
    path = os.fsdecode(audio) if isinstance(audio, (str, os.PathLike)) else None
    try:
        recording = load(audio, log=_Quiet())
    except AudioError as error:
        return AudioCheck(path, findings=(_unreadable(error, audio),), speech_measured=vad.is_installed())
    return check_recording(recording, path)


def refuse(recording: Recording, name: Optional[str]) -> None:
    """Raises the error for a recording that is certain to be worthless.

    Args:
        recording: What would be sent.
        name: What to call it; `None` if it has no name.

    Raises:
        AudioError: It is worthless; the message says why.
    """
    for finding in check_recording(recording).errors:
        raise AudioError(f"{name or 'the recording'} {finding.message}; {finding.hint}")


def check_recording(recording: Recording, path: Optional[str] = None) -> AudioCheck:
    """Checks a recording that has been decoded.

    Args:
        recording: What would be sent.
        path: Where it is from.
    """
    decoding = tuple(warning for warning in recording.warnings if SILENT not in warning)
    coded = [warning for warning in decoding if isinstance(warning, Warned)]
    known = AudioCheck(
        path,
        recording.seconds,
        sample_rate=recording.format.sample_rate,
        channels=recording.format.channels,
        bits=8 * recording.format.sample_width,
        gaps=sum((warning.seconds for warning in coded if warning.code == "gaps"), 0.0),
        decoding=decoding,
        channel_relation="opposite" if any(warning.code == "channels" for warning in coded) else None,
        speech_measured=vad.is_installed(),
    )
    if is_silent(recording.pcm, recording.format.frame_width):
        return dataclasses.replace(known, findings=(_ZEROS, *_of_file(known)))
    measured = _measured(known, recording.pcm, recording.format)
    return dataclasses.replace(measured, findings=_findings(measured))


class _Quiet(Log):
    """Logs nothing: what decoding warns of is in the `AudioCheck`."""

    def _log(self, *_: object, **__: object) -> None:
        pass


def _measured(known: AudioCheck, pcm: Union[bytes, memoryview], audio_format: Format) -> AudioCheck:
    voice = Voice(pcm, audio_format)
    channels = voice.channels
    speech = vad.find_speech(voice.normalised()) if known.speech_measured else None
    heard = _heard(voice.powers) if speech is None else speech[: len(voice.powers)]
    level = decibels(percentile([p for p, is_heard in zip(voice.powers, heard) if is_heard] or voice.powers, 0.98))
    seconds = known.seconds or 0.0
    first = heard.index(True) if True in heard else len(heard)
    last = heard[::-1].index(True) if True in heard else len(heard)
    measured = dataclasses.replace(
        known,
        rms=decibels(channels.rms**2),
        peak=decibels(channels.peak**2),
        speech_level=level,
        clipped=channels.clipped,
        dc=channels.dc,
        silence_start=min(first * FRAME_SECONDS, seconds),
        silence_end=min(last * FRAME_SECONDS, seconds),
        channel_relation=known.channel_relation or channels.relation,
    )
    if speech is None:
        return measured
    spoken = min(sum(heard) * FRAME_SECONDS, seconds)
    return dataclasses.replace(
        measured,
        speech_seconds=spoken,
        speech_ratio=spoken / seconds,
        snr=signal_to_noise(voice.powers, heard),
        high_band=high_band(voice.high_bands(heard)) if spoken else None,
    )


def _heard(powers: Sequence[float]) -> List[bool]:
    """Returns which frames hold sound, by their level alone."""
    least = percentile(powers, 0.98) / 10 ** (QUIETER / 10)
    return [power > 0 and power >= least for power in powers]


# What is found. A message goes on behind the recording's name.

_ZEROS = Finding(
    "error",
    "zeros",
    0.0,
    "is silent, all samples are zero or the same: there is nothing to assess",
    "was the microphone muted, or the wrong one? Record again",
)


def _unreadable(error: AudioError, audio: Any) -> Finding:
    text = str(error)
    name = path_name(audio) if isinstance(audio, (str, os.PathLike)) else ""
    about, _, hint = text.partition("; ") if "; " in text else text.partition(": ")
    if name and about.startswith(name):
        about = about[len(name) :].strip()
    empty = "holds no audio" in text
    return Finding("error", "empty" if empty else "unreadable", None, about, hint or "check the recording")


def _findings(found: AudioCheck) -> Tuple[Finding, ...]:
    spoken = found.speech_seconds
    if spoken is not None and spoken < THRESHOLDS["no_speech"].value:
        none = Finding(
            "error",
            "no_speech",
            spoken,
            f"holds no speech: only {spoken:.1f} s of speech are found, so there is nothing to assess",
            "was the right microphone on? Record again",
        )
        return (none, *_of_file(found))
    return (*_of_speech(found), *_of_level(found), *_of_file(found))


def _of_speech(found: AudioCheck) -> List[Finding]:
    findings = []
    spoken, what = (found.seconds or 0.0, "") if found.speech_seconds is None else (found.speech_seconds, " of speech")
    least = THRESHOLDS["short"].value
    if spoken < least:
        findings.append(
            _warning(
                "short",
                spoken,
                f"holds {spoken:.1f} s{what}: ELSA needs {least:g} s of speech, and scores less only in part",
                "speak for longer",
            )
        )
    if found.snr is not None and found.snr < THRESHOLDS["noisy"].value:
        findings.append(
            _warning(
                "noisy",
                found.snr,
                f"has speech only {found.snr:.0f} dB above the noise in its pauses, so that words and sounds are "
                "misheard",
                "record in a quiet room, closer to the microphone",
            )
        )
    rate, noisy = found.sample_rate or 0, any(each.code == "noisy" for each in findings)
    if rate <= THRESHOLDS["sample_rate"].value:
        findings.append(_narrow(float(rate), f"has a sample rate of {rate} Hz"))
    elif found.high_band is not None and found.high_band < THRESHOLDS["narrow_band"].value and not noisy:
        findings.append(_narrow(found.high_band, f"has hardly any speech above 4.3 kHz ({found.high_band:.0f} dB)"))
    ratio = found.speech_ratio
    ends = max(found.silence_start or 0.0, found.silence_end or 0.0)
    if ratio is not None and ratio < THRESHOLDS["silence"].value:
        said = f"is mostly silence: {ratio:.0%} of it are speech, and all of it is paid for"
        findings.append(_warning("silence", ratio, said, "cut it off, or record again"))
    elif ends >= THRESHOLDS["ends"].value:
        said = f"has {ends:.0f} s without speech at one end, which are paid for, and may count as the end of the answer"
        findings.append(_warning("silence", ends, said, "cut them off"))
    return findings


def _narrow(value: float, measured: str) -> Finding:
    return _warning(
        "narrow_band",
        value,
        f"{measured}, as from a telephone: sounds such as s and f can't be told apart",
        "record with 16 kHz or more, without a telephone or headset in between",
    )


def _of_level(found: AudioCheck) -> List[Finding]:
    findings = []
    level, clipped, dc = found.speech_level, found.clipped or 0.0, found.dc or 0.0
    if level is not None and level < THRESHOLDS["quiet"].value:
        said = f"is too quiet: its loud parts reach {level:.0f} dBFS, so that parts of the speech may not be heard"
        findings.append(_warning("quiet", level, said, "go closer to the microphone, or raise its level"))
    if clipped > THRESHOLDS["clipped"].value:
        said = f"is clipped: {clipped:.1%} of its samples are cut off, which distorts the sounds"
        findings.append(_warning("clipped", clipped, said, "lower the level of the microphone, and record again"))
    if abs(dc) > THRESHOLDS["dc"].value:
        said = f"is {dc:+.1%} of full scale off zero (DC), which leaves less room for the speech"
        findings.append(_warning("dc", dc, said, "use another microphone or sound card"))
    if found.channel_relation == "opposite":
        alone = "" if (found.channels or 0) > 1 else "; so only one of them is sent"
        said = f"has channels that cancel each other out: mixed to mono, as for the assessment, little is left{alone}"
        findings.append(_warning("channels", -1.0, said, "export one of its channels as mono"))
    return findings


def _of_file(found: AudioCheck) -> List[Finding]:
    findings = []
    if found.gaps:
        said = f"has gaps: {found.gaps:.1f} s are missing by its time stamps, where words may be cut"
        findings.append(_warning("gaps", found.gaps, said, "was the recorder too busy? Record again"))
    others = [warning for warning in found.decoding if not isinstance(warning, Warned)]
    if others:
        # Behind the name, which each begins with.
        said = "; ".join(warning.partition(": ")[2] or warning for warning in others)
        findings.append(_warning("decoding", float(len(others)), f"is damaged or strange: {said}", "export it again"))
    return findings


def _warning(code: str, value: float, message: str, hint: str) -> Finding:
    return Finding("warning", code, value, message, hint)


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
