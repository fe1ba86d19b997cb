"""inotify(7): what happens to files and directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct
from typing import Final

from ._relay import ffi, lib

CLOSE_WRITE: Final[int] = lib.IN_CLOSE_WRITE
ATTRIB: Final[int] = lib.IN_ATTRIB
MOVE: Final[int] = lib.IN_MOVED_FROM | lib.IN_MOVED_TO
CREATE: Final[int] = lib.IN_CREATE
DELETE: Final[int] = lib.IN_DELETE
DELETE_SELF: Final[int] = lib.IN_DELETE_SELF
MOVE_SELF: Final[int] = lib.IN_MOVE_SELF
ONLYDIR: Final[int] = lib.IN_ONLYDIR
# Of events only.
UNMOUNT: Final[int] = lib.IN_UNMOUNT
OVERFLOW: Final[int] = lib.IN_Q_OVERFLOW
ISDIR: Final[int] = lib.IN_ISDIR

HEADER: Final = Struct("=iIII")  # struct inotify_event: the watch, the mask, a cookie, the size of the name
SIZE: Final = 65536


class Inotify:
    """Watches that share a queue of events, which ``fd`` is readable for. Its methods raise OSError."""

    def __init__(self) -> None:
        self.fd = _checked(lib.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, path: str, mask: int) -> int:
        """Watch a path for the events of the mask; return the watch, the same for the same file."""
        return _checked(lib.inotify_add_watch(self.fd, os.fsencode(path), mask))

    def remove(self, watch: int) -> None:
        """End a watch."""
        _checked(lib.inotify_rm_watch(self.fd, watch))

    def events(self) -> Iterator[tuple[int, int, str]]:
        """Yield the watch, the mask and the name ("" for none) of each event until there are no more.

        The watch of OVERFLOW is -1.
        """
        while data := self._read():
            at = 0
            while at < len(data):
                watch, mask, _, size = HEADER.unpack_from(data, at)
                at += HEADER.size
                yield watch, mask, os.fsdecode(data[at : at + size].rstrip(b"\0"))
                at += size

    def close(self) -> None:
        """End all watches."""
        os.close(self.fd)

    def _read(self) -> bytes:
        try:
            return os.read(self.fd, SIZE)
        except BlockingIOError:
            return b""


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    return result
