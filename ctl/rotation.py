"""The files of a capture, which others can't read, and of which the oldest are removed."""

from __future__ import annotations

import os
import time
from typing import BinaryIO

from . import pcapng


def ring(path: str) -> list[str]:
    """Return the files PATH.1, PATH.2, and so on that are there, the oldest first; raises OSError."""
    return [f"{path}.{number}" for number in _numbers(path)]


def _numbers(path: str) -> list[int]:
    directory, name = os.path.split(path)
    ends = [one[len(name) + 1 :] for one in os.listdir(directory or ".") if one.startswith(f"{name}.")]
    # Not 007, which is another file than 7, nor other scripts' digits.
    return sorted(int(one) for one in ends if one.isascii() and one.isdecimal() and str(int(one)) == one)


class Rotation:
    """One file, or a ring of ``n_files`` files PATH.1, PATH.2, and so on, each complete by itself.

    A new file is begun after ``max_bytes`` or ``seconds``; 0: never. A ring that is there is continued.
    Messages may hold passwords, so files are made with mode 0600, and a file that exists is replaced, never
    written into. Raises OSError.
    """

    def __init__(
        self, path: str, max_bytes: int = 0, seconds: float = 0.0, n_files: int = 0, snaplen: int = 0
    ):
        self._path = path
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._n_files = n_files
        self._snaplen = snaplen
        self.number = 0
        """The number of the file that is written."""
        self._stream: BinaryIO | None = None
        self._size = 0
        self._began = 0.0
        self.begin()

    @property
    def is_due(self) -> bool:
        """True if the next message belongs into a new file."""
        full = self._max_bytes and self._size >= self._max_bytes
        return bool(full or (self._seconds and time.monotonic() - self._began >= self._seconds))

    def write(self, one: pcapng.Packet) -> None:
        """Write a message."""
        assert self._stream is not None, "begun"
        data = pcapng.packet(one)
        self._stream.write(data)
        self._size += len(data)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._stream is not None:
            self._stream.flush()

    def close(self) -> None:
        """Complete the file."""
        if self._stream is not None:
            self._stream.close()

    def begin(self) -> None:
        """Complete the file, and begin the next one."""
        self.close()
        rotates = bool(self._max_bytes or self._seconds)
        before = _numbers(self._path) if rotates else []
        self.number = max(before, default=0) + 1
        path = f"{self._path}.{self.number}" if rotates else self._path
        part = f"{path}.part"
        try:
            os.unlink(part)
        except FileNotFoundError:
            pass
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.rename(part, path)
        self._stream = open(fd, "wb")  # noqa: SIM115
        head = pcapng.header(self._snaplen)
        self._stream.write(head)
        self._size, self._began = len(head), time.monotonic()
        if self._n_files:
            for number in before[: max(0, len(before) + 1 - self._n_files)]:
                os.unlink(f"{self._path}.{number}")
