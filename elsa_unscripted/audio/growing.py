"""`GrowingWav`: a WAV file of the live speech that was sent, readable after each packet. For `live`, option `save`."""

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
MOST_BYTES = 2**32 - 1 - HEADER_BYTES  # of PCM, the most that a WAV header can tell; later audio is left out


class GrowingWav:
    """A WAV file that grows packet by packet: `add()` first writes the PCM, then a header that counts it.

    So the file is readable even if the process is killed. Only the thread that sends calls `add()`.
    """

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        """Opens the file. An older file keeps its contents until the first packet.

        Raises:
            ConfigError: The file can't be written.
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
            raise ConfigError(f"save: {path!r} can't be written ({reason}): give the path of a WAV file") from error
        self._size = 0

    def add(self, wav: bytes, audio_format: Format) -> Optional[str]:
        """Adds the audio of a packet.

        Args:
            wav: The packet's data: a WAV file with a header of 44 bytes.
            audio_format: The format of its PCM.

        Returns:
            A sentence if writing has failed, once; after that, this does nothing. Else `None`.
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
        """Closes the file; deletes it if it is new and got no audio. May be called again."""
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError):
            file.close()
            if self._is_new and not self._size:
                os.unlink(self._path)


def _write(file: BinaryIO, at: int, data: Union[bytes, memoryview]) -> None:
    """Writes all of the data; one `write()` of an unbuffered file may take only a part."""
    file.seek(at)
    view = memoryview(data)
    while view:
        written = file.write(view)
        if not written:
            raise OSError("nothing more is taken")
        view = view[written:]
