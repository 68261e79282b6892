"""`ScoreResult`: the verdict `success` of one exchange, its history and its timings; save, load, fetch, rows, card.

Made by `exchange.account`, and by `journal.entry` from a line; read by callers, the terminal, the pages, the table.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from ..config import PathLike, hide
from ..exceptions import ConnectError, ProtocolError
from ..imports import importing
from ..quoting import MAX_QUOTED, cut, quoted
from ..signals import raised_by_handler
from ..strict_json import loads
from . import facts, saved
from .assessment import Assessment, Score, Speaker, Word, find_assessment
from .bands import THRESHOLDS, Thresholds
from .card import card
from .rows import COLUMNS, Cell, result_cells, rounded, word_rows

__all__ = ["ScoreResult", "Timings"]

FETCH_TIMEOUT = 30.0  # s for the whole download
FETCH_MAX_BYTES = 64 * 2**20  # the same bound as for a message of the server


@dataclass(frozen=True)
class Timings:
    """When things happened, in seconds since `score()` was called; `None` for what didn't happen.

    Attributes:
        connect: The WebSocket was open.
        start: The server had named a stream.
        first_packet: The first packet had left.
        audio_sent: The last packet had left.
        verdict: The verdict had arrived.
        total: The connection was closed and every thread had ended.
    """

    connect: Optional[float] = None
    start: Optional[float] = None
    first_packet: Optional[float] = None
    audio_sent: Optional[float] = None
    verdict: Optional[float] = None
    total: Optional[float] = None


@dataclass(frozen=True, eq=False, repr=False)
class ScoreResult(Mapping[str, Any]):
    """A successful assessment: a read-only mapping over the server's final object, with typed views.

    Example:
        >>> result = ScoreResult({"status": "success", "result_link": "https://elsa.example/r/1"})
        >>> result["result_link"] == result.result_link
        True

    Attributes:
        raw: The server's final object, whole. Its text is untrusted.
        text: The same as JSON text, as it came; `""` if that was not kept, as in a journal.
        stream_id: The server's name of the stream, if it gave one.
        statuses: Every message of the server that has a `status`, the final one included, in order of arrival.
        timings: When things happened.
        audio_seconds: How long the recording is; of live speech, what its source gave.
        audio_seconds_sent: How much of it was sent: less than all of it when the server heard the end first.
        ended_by: What ended the audio: `"source"`, its own end; `"server"`, whose verdict came before all had left;
            `"limit"`, the `max_seconds` of live speech. `None` in a result that an earlier version saved.
        sample_rate: Hz, as sent; likewise `channels` and `sample_width` (bytes).
        api_plan: The plan that was asked for.
        warnings: What was wrong with the recording, if it could be sent all the same.
        client: Name and version of the package that made the result.
        fetched: The assessment that `fetch()` downloaded.
    """

    raw: Mapping[str, Any]
    text: str = ""
    stream_id: Optional[str] = None
    statuses: Tuple[Mapping[str, Any], ...] = ()
    timings: Timings = field(default_factory=Timings)
    audio_seconds: float = 0.0
    audio_seconds_sent: float = 0.0
    ended_by: Optional[str] = None
    sample_rate: Optional[int] = None
    channels: Optional[int] = None
    sample_width: Optional[int] = None
    api_plan: Optional[str] = None
    warnings: Tuple[str, ...] = ()
    client: str = ""
    fetched: Optional[Mapping[str, Any]] = None

    @property
    def status(self) -> str:
        """The verdict: `"success"`."""
        return str(self.raw.get("status"))

    @property
    def result_link(self) -> Optional[str]:
        """Where the assessment can be downloaded; `None` if the server gave none, or an empty one."""
        return self._link("result_link")

    @property
    def audio_link(self) -> Optional[str]:
        """Where the recording can be heard; `None` if the server gave none, or an empty one."""
        return self._link("audio_link")

    @property
    def partial_error(self) -> Optional[str]:
        """What keeps the assessment from being whole, such as `"too_short"`."""
        value = self.raw.get("partial_error")
        return value if isinstance(value, str) and value else None

    @property
    def assessment(self) -> Optional[Assessment]:
        """The assessment as typed views; `None` when it did not come along (see `fetch()`)."""
        found = find_assessment(self.raw) or (find_assessment(self.fetched) if self.fetched else None)
        return None if found is None else Assessment(found)

    @property
    def speakers(self) -> Tuple[Speaker, ...]:
        """The assessment's speakers, usually one; none when there is no assessment."""
        assessment = self.assessment
        return () if assessment is None else assessment.speakers

    @property
    def overall(self) -> Optional[Score]:
        """The overall score of the first speaker, usually the only one; `None` if there is none, which is not 0."""
        score = self.speakers[0].scores.overall if self.speakers else None
        return None if score is None or score.value is None else score

    @property
    def cefr(self) -> Optional[str]:
        """The overall CEFR level of the first speaker, such as `"B2"`; `None` if the server gave none."""
        return self.speakers[0].scores.overall.cefr if self.speakers else None

    @property
    def transcript(self) -> Optional[str]:
        """What was heard, of all speakers; `None` if there is nothing."""
        assessment = self.assessment
        if assessment is None:
            return None
        parts = (facts.transcript(speaker) for speaker in assessment.speakers)
        return assessment.transcript or " ".join(filter(None, parts)) or None

    @property
    def words(self) -> Tuple[Word, ...]:
        """The words of all speakers, each with its `start`, `end`, `score` and `phonemes`, in the order of the speech.

        One speaker's words are in the server's order. Those of several are merged by their times.
        """
        timed = []
        for speaker in self.speakers:
            latest = 0.0
            for word in speaker.words:
                latest = latest if word.start is None else max(latest, word.start)
                timed.append((latest, word))
        return tuple(word for _, word in sorted(timed, key=lambda pair: pair[0]))

    def to_dict(self) -> Dict[str, Any]:
        """Returns everything that is known of the result, as plain values for JSON: what `save()` writes."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["raw"] = dict(self.raw)
        values["statuses"] = [dict(status) for status in self.statuses]
        values["timings"] = asdict(self.timings)
        values["warnings"] = list(self.warnings)
        return {"v": saved.FILE_VERSION, **values}

    def to_row(self) -> Dict[str, Cell]:
        """Returns the result as a row of a table, with the columns of `elsa-unscripted batch --csv`.

        What only a batch knows, such as `path`, is `None`. Scores have the server's names: `eps_score` is the overall
        one.

        Example:
            >>> row = ScoreResult({"speakers": [{"metrics": {"general_scores": {"elsa": {"eps_score": 78}}}}]}).to_row()
            >>> row["outcome"], row["eps_score"], row["fluency_score"]
            ('success', 78.0, None)
        """
        cells = result_cells(self)
        cells["seconds"] = rounded(self.timings.total)
        return {name: cells.get(name) for name in COLUMNS}

    def words_rows(self) -> List[Dict[str, Cell]]:
        """Returns a row for each word: what it is, its score, its times, its sounds and the worst of them.

        The words of one speaker stand after those of another; `speaker_id` says whose they are.
        """
        return word_rows(self)

    def to_html(self, *, audio: Any = None, thresholds: Thresholds = THRESHOLDS, title: Optional[str] = None) -> str:
        """Renders the report page: one HTML file that needs nothing else (extra `report`).

        Args:
            audio: The recording, if it is to be seen and heard: whatever `score()` takes.
            thresholds: Percent from which a score is fair, and from which it is good.
            title: Of the page; default: the name and date of the recording's file, or "Speech report".

        Raises:
            ValueError: The thresholds aren't two numbers from 0 to 100, the lower one first.
            AudioError: The recording can't be read or decoded.
            ModuleNotFoundError: The extra isn't installed.
        """

        def late() -> Callable[..., str]:
            from ..report import result_page

            return result_page

        return importing(late)(self, audio=audio, thresholds=thresholds, title=title)

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes everything that is known of the result as JSON, for `load()`. The token isn't in it.

        Raises:
            OSError: The file can't be written: an older one is left as it was. Or a recording is there.
        """
        saved.write(path, self.to_dict())

    @classmethod
    def load(cls, path: Union[str, os.PathLike[str]]) -> ScoreResult:
        """Reads what `save()` wrote. Fields of a later version are passed over.

        Raises:
            OSError: The file can't be read.
            ValueError: The file holds something else.
        """
        values = saved.read(path, cls.__dataclass_fields__, Timings.__dataclass_fields__)
        values["statuses"] = tuple(values["statuses"])
        values["warnings"] = tuple(values["warnings"])
        values["timings"] = Timings(**values["timings"])
        return cls(**values)

    def fetch(
        self,
        *,
        timeout: float = FETCH_TIMEOUT,
        max_bytes: int = FETCH_MAX_BYTES,
        ca_bundle: Optional[PathLike] = None,
        proxy: Optional[str] = None,
    ) -> ScoreResult:
        """Downloads the assessment from `result_link`, if it did not come along; without any token.

        `Client.fetch()` does so with the client's `ca_bundle` and `proxy`.

        Args:
            timeout: Seconds for the whole download: name look-ups, proxy, redirects and all.
            max_bytes: The longest answer that is taken, unpacked.
            ca_bundle: A file with the certificates to trust in place of the system's.
            proxy: `http://[user:password@]host:port`; `None` takes `$https_proxy` (`$http_proxy` for a link to
                `http://`), else `$all_proxy`, but none for the hosts in `$no_proxy`.

        Returns:
            A result that has the assessment: this one if it had it already.

        Raises:
            ConnectError: There is no link, it is not `https://` (`http://` only on loopback), or the download fails.
            ProtocolError: What came is not a JSON object, or too long.
            ConfigError: `ca_bundle` or `proxy` is wrong.
        """
        hidden = hide(proxy)
        proxy = None  # error trackers show the local variables of an error's frames
        if self.assessment is not None:
            return self
        if self.result_link is None:
            raise ConnectError("the server gave no result_link to fetch; score with return_json=True")

        def late() -> Callable[..., bytes]:  # `http.client` brings the email package along
            from .download import download

            return download

        body = importing(late)(
            self.result_link, timeout=timeout, max_bytes=max_bytes, ca_bundle=ca_bundle, proxy=hidden
        )
        problem, cause = "", None
        try:
            fetched = loads(body)  # any of the encodings that JSON may have, with or without a byte order mark
        except (ValueError, RecursionError) as error:
            if raised_by_handler(error):
                raise
            cause = ValueError(cut(str(error)))  # a copy, since those of Python hold the whole body
            problem = f"is not JSON ({cause})"
        else:
            problem = "" if isinstance(fetched, dict) else "is not a JSON object"
        if problem:
            beginning = body[: 4 * MAX_QUOTED].decode("utf-8", "backslashreplace")
            raise ProtocolError(f"what result_link leads to {problem}: {quoted(beginning)}") from cause
        return replace(self, fetched=fetched)

    def _link(self, key: str) -> Optional[str]:
        value = self.raw.get(key)
        return value if isinstance(value, str) and value else None

    def __getitem__(self, key: str) -> Any:
        return self.raw[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        stream_id = None if self.stream_id is None else cut(self.stream_id)
        return f"ScoreResult(status={self.status!r}, stream_id={stream_id!r}, result_link={self.result_link!r})"

    def _repr_html_(self) -> str:
        """Returns the card that notebooks show."""
        return card(self)
