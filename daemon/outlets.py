"""The outlets of the log: standard error, syslog, the journal. None blocks on a slow reader."""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import time
from collections.abc import Callable, Mapping
from typing import Final

Field = str | int | None
"""A field of a journal entry; None: unknown, or not applicable.

DBUS_SENDER and DBUS_DESTINATION are bus names, DBUS_SERVICE is the name of a service that is started; UNIT,
CONFIG_FILE and CONFIG_LINE are systemd's: the unit of a service, and the place of a rule or of an error.
"""

Send = Callable[[int, str, Mapping[str, Field]], bool]
"""Writes a line with syslog's priority and the journal's fields; False if there was no room for it."""

IDENTITY: Final = "omnibusd"
DEV_LOG: Final = "/dev/log"
OWN: Final = "/proc/self/fd/{}"
NO_ROOM: Final = (errno.EAGAIN, errno.ENOBUFS)


class Outlet:
    """A destination of lines. Lines for which it has no room are counted, and the count is logged later.

    ``is_journal``: lines end there. ``has_fields``: with their fields.
    """

    def __init__(self, send: Send, *, is_journal: bool = False, has_fields: bool = False) -> None:
        self._send = send
        self.is_journal = is_journal
        self.has_fields = has_fields
        self.lost = 0

    def write(self, priority: int, text: str, fields: Mapping[str, Field], lost: tuple[int, str]) -> None:
        """Write a line after the count of lost lines, for which ``lost`` gives priority and format."""
        if not (self.catch_up(*lost) and self._send(priority, text, fields)):
            self.lost += 1

    def catch_up(self, priority: int, format: str) -> bool:
        """Log the number of lost lines; return False if there is no room for that."""
        if self.lost and self._send(priority, format.format(self.lost), {}):
            self.lost = 0
        return not self.lost


class Stream:
    """Lines on a descriptor, by default standard error.

    It may be shared with other processes, which O_NONBLOCK would affect: so a pipe or terminal is opened
    again for this process. Where that isn't possible poll(2) tells whether there is room, which another
    writer may still take.
    """

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._rest = b""
        self._write: Callable[[bytes], int] = lambda data: os.write(fd, data)

    def never_wait(self) -> None:
        """Drop lines instead of blocking from now on; to be called before privileges are dropped."""
        try:
            self._write = _writer(self._fd)
        except OSError:
            pass  # closed: writes fail at once

    def is_journal(self) -> bool:
        """Return True if the service manager has connected it to the journal (systemd.exec(5))."""
        try:
            status = os.fstat(self._fd)
        except OSError:
            return False
        return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"

    def send(self, priority: int, text: str, fields: Mapping[str, Field]) -> bool:
        """Write a line. A partly written line is completed before the next one."""
        if not self._flush():
            return False
        line = f"{IDENTITY}[{os.getpid()}]: {text}\n".encode("utf-8", "surrogateescape")
        self._rest = line
        if self._flush() or len(self._rest) < len(line):
            return True
        self._rest = b""
        return False

    def _flush(self) -> bool:
        try:
            while self._rest:
                self._rest = self._rest[self._write(self._rest) :]
        except BlockingIOError:
            return False
        except OSError:
            self._rest = b""  # there is no reader
        return True


class Syslog:
    """Sends lines to /dev/log, like syslog(3), but without blocking."""

    def __init__(self, path: str = DEV_LOG) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, priority: int, text: str, fields: Mapping[str, Field]) -> bool:
        """Send a line; without a daemon at /dev/log it counts as written, as in syslog(3)."""
        head = f"<{priority}>{time.strftime('%b %e %H:%M:%S')} {IDENTITY}[{os.getpid()}]: {text}"
        data = head.encode("utf-8", "surrogateescape")
        try:
            # Not connected, so that a restarted daemon is found.
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno == errno.EPROTOTYPE:
                return self._send_stream(data + b"\0")
            return error.errno not in NO_ROOM
        return True

    def _send_stream(self, data: bytes) -> bool:
        """Send to a daemon that listens for streams, which is rare enough for one connection per line."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.setblocking(False)
            try:
                stream.connect(self._path)
                return stream.send(data) == len(data)
            except OSError as error:
                return error.errno not in NO_ROOM


def _writer(fd: int) -> Callable[[bytes], int]:
    """Return a function that writes to a descriptor, and raises BlockingIOError instead of blocking."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        stream = socket.socket(fileno=os.dup(fd))
        return lambda data: stream.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    if not stat.S_ISFIFO(mode) and not stat.S_ISCHR(mode):
        return lambda data: os.write(fd, data)
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        own = os.open(OWN.format(fd), flags)
    except OSError:
        return _polling_writer(fd)
    return lambda data: os.write(own, data)


def _polling_writer(fd: int) -> Callable[[bytes], int]:
    room = select.poll()
    room.register(fd, select.POLLOUT)

    def write(data: bytes) -> int:
        if not room.poll(0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        # A write of this size doesn't block on a pipe that is ready.
        return os.write(fd, data[: select.PIPE_BUF])

    return write
