"""`GrowingWav`: the WAV file of what was sent of live speech, whole and readable after each packet. Used by `save=`."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import BinaryIO, Optional, Union

from ..exceptions import ConfigError
from .packets import Format
from .wav import header

__all__ = ["GrowingWav"]

HEADER_BYTES = 44
MOST_BYTES = 2**32 - 1 - HEADER_BYTES  # what a WAV header can tell; what comes after that is left out


class GrowingWav:
    """Written in place, packet by packet: first the PCM, then the header, which counts only what is there.

    So the file is readable whenever the process is killed. Only the thread that sends writes.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        """Opens the file; an older one keeps what it holds until the first packet.

        Raises:
            ConfigError: It can't be written.
        """
        try:
            self._path = os.fspath(path)
            self._is_new = not os.path.exists(path)
            if not self._is_new and stat.S_ISFIFO(os.stat(path).st_mode):  # to open it may block for ever
                raise ValueError("it is a pipe")
            self._file: Optional[BinaryIO] = open(path, "ab", buffering=0)  # noqa: SIM115 - close() closes it
            self._file.close()
            self._file = open(path, "r+b", buffering=0)  # noqa: SIM115
        except (OSError, TypeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"save can't be written ({reason}): give the path of a WAV file") from error
        self._size = 0

    def add(self, wav: bytes, audio_format: Format) -> Optional[str]:
        """Adds what is in a packet, a WAV file with a header of 44 bytes.

        Returns:
            Why it couldn't be added, once; after that, nothing more is.
        """
        file, pcm = self._file, memoryview(wav)[HEADER_BYTES:]
        if file is None:
            return None
        try:
            if not self._size:
                file.truncate(0)
                _write(file, 0, header(*audio_format, 0))
            if self._size + len(pcm) > MOST_BYTES:
                raise OSError("a WAV file has 4 GiB at most")
            _write(file, HEADER_BYTES + self._size, pcm)
            _write(file, 0, header(*audio_format, self._size + len(pcm)))
            self._size += len(pcm)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            with contextlib.suppress(OSError, ValueError):
                file.truncate(HEADER_BYTES + self._size)
            self.close()
            frames = self._size // audio_format.frame_width
            return (
                f"save: {self._path!r} ends after {frames / audio_format.sample_rate:.1f} s of the speech, since it "
                f"can't be written any more ({reason})"
            )
        return None

    def close(self) -> None:
        """Closes the file; removes one that wasn't there before and got nothing. May be called again."""
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError):
            file.close()
            if self._is_new and not self._size:
                os.unlink(self._path)


def _write(file: BinaryIO, at: int, data: Union[bytes, memoryview]) -> None:
    """Writes all of the data: an unbuffered file may take less of it."""
    file.seek(at)
    view = memoryview(data)
    while view:
        written = file.write(view)
        if not written:
            raise OSError("nothing more is taken")
        view = view[written:]
