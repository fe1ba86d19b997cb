"""Where the log goes: standard error, syslog, the journal. Nothing here waits for whoever reads it."""

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
"""A field of an entry in the journal; None: it is not known, or is of no meaning here.

DBUS_SENDER and DBUS_DESTINATION are names on the bus, DBUS_SERVICE is one that is started; UNIT, CONFIG_FILE
and CONFIG_LINE are systemd's: the unit that a service has, and the place of a rule or of an error.
"""

Send = Callable[[int, str, Mapping[str, Field]], bool]
"""Writes a line with syslog's priority and the journal's fields; False if there was no room for it."""

IDENTITY: Final = "omnibusd"
DEV_LOG: Final = "/dev/log"
OWN: Final = "/proc/self/fd/{}"
NO_ROOM: Final = (errno.EAGAIN, errno.ENOBUFS)


class Outlet:
    """One place for lines. A line for which it has no room is lost, and counted until that can be said."""

    def __init__(self, send: Send, *, is_journal: bool = False) -> None:
        self._send = send
        self.is_journal = is_journal
        self.lost = 0

    def write(self, priority: int, text: str, fields: Mapping[str, Field], lost: tuple[int, str]) -> None:
        """Write a line behind the count of what was lost, whose priority and format are given."""
        if not (self.catch_up(*lost) and self._send(priority, text, fields)):
            self.lost += 1

    def catch_up(self, priority: int, format: str) -> bool:
        """Say how many lines were lost; return False if there is no room even for that."""
        if self.lost and self._send(priority, format.format(self.lost), {}):
            self.lost = 0
        return not self.lost


class Stream:
    """Lines on a descriptor, by default standard error.

    It may be shared with other processes, whose writes would fail by a flag O_NONBLOCK: so a pipe or terminal
    is opened once more for this process alone. Where that isn't possible poll(2) says whether there is room,
    which another process that writes to the same pipe may take before the line is there.
    """

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._rest = b""
        self._write: Callable[[bytes], int] = lambda data: os.write(fd, data)

    def never_wait(self) -> None:
        """Begin to lose lines instead of waiting; to be called before the process gives up rights."""
        try:
            self._write = _writer(self._fd)
        except OSError:
            pass  # closed: writes fail at once

    def is_journal(self) -> bool:
        """Tell whether the service manager has connected it to the journal (systemd.exec(5))."""
        try:
            status = os.fstat(self._fd)
        except OSError:
            return False
        return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"

    def send(self, priority: int, text: str, fields: Mapping[str, Field]) -> bool:
        """Write a line. One that finds room for a part of it is completed before the next one."""
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
            self._rest = b""  # it will never be read
        return True


class Syslog:
    """What syslog(3) does, which would wait: lines as datagrams to /dev/log."""

    def __init__(self, path: str = DEV_LOG) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, priority: int, text: str, fields: Mapping[str, Field]) -> bool:
        """Send a line; it is taken to be read where nothing reads /dev/log at all, as by syslog(3)."""
        head = f"<{priority}>{time.strftime('%b %e %H:%M:%S')} {IDENTITY}[{os.getpid()}]: {text}"
        data = head.encode("utf-8", "surrogateescape")
        try:
            # Not connected, so that a daemon that is started again is found.
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno == errno.EPROTOTYPE:
                return self._send_stream(data + b"\0")
            return error.errno not in NO_ROOM
        return True

    def _send_stream(self, data: bytes) -> bool:
        """Send to a daemon that listens for streams: rare enough for a connection a line."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.setblocking(False)
            try:
                stream.connect(self._path)
                return stream.send(data) == len(data)
            except OSError as error:
                return error.errno not in NO_ROOM


def _writer(fd: int) -> Callable[[bytes], int]:
    """Return what writes to a descriptor, or raises BlockingIOError instead of waiting."""
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
        return _patient_writer(fd)
    return lambda data: os.write(own, data)


def _patient_writer(fd: int) -> Callable[[bytes], int]:
    room = select.poll()
    room.register(fd, select.POLLOUT)

    def write(data: bytes) -> int:
        if not room.poll(0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        # With so much at once a pipe that is ready doesn't wait.
        return os.write(fd, data[: select.PIPE_BUF])

    return write
