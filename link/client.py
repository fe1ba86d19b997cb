"""A connection to a bus that passes messages as they are, and connects as a user of its choice.

Nothing is waited for: authentication, Hello and all that follows is written at once, and the bus handles it
in that order. So a connection can be used as soon as it is made, and order needs no queue of its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from . import message
from .message import Field, Frame
from .wire import ffi, lib

RECEIVE: Final = 1 << 18
AUTHENTICATION_LIMIT: Final = 4096
MAX_SERIAL: Final = 0xFFFFFFFF

Answer = Callable[[Frame], None]
"""Is given the reply to a call of the client's own."""

_buffer = ffi.new("uint8_t[]", RECEIVE)
_view = ffi.buffer(_buffer)


class Receiver(Protocol):
    """What a client tells of."""

    def receive(self, frame: Frame) -> None:
        """Handle a message, except replies to calls of the client's own. It is valid during the call only."""

    def too_long(self, frame: Frame) -> None:
        """Handle a message that is larger than ``max_message``, without its body."""

    def named(self, name: bytes) -> None:
        """Hear of the unique name, before any other message."""

    def lost(self, why: str) -> None:
        """Hear of the end of the connection, unless ``close`` was called."""


class Client:
    """A connection. ``queued`` are bytes that the bus has not read; over ``max_queued`` it is lost."""

    def __init__(
        self,
        path: bytes,
        ids: tuple[int, int] | None,
        receiver: Receiver,
        *,
        max_message: int,
        max_queued: int,
    ) -> None:
        """Connect to a socket, as a uid and gid; raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._receiver = receiver
        self._max_message = max_message
        self._max_queued = max_queued
        self._frame = ffi.new("struct frame *")
        self._tail = bytearray()
        self._needed = 0
        self._skip = 0
        self._out = bytearray()
        self._writes = False
        self._is_authenticated = False
        self._serial = 0
        self._answers: dict[int, Answer] = {}
        uid, gid = ids or (os.geteuid(), os.getegid())
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._connect(path, uid, gid)
        except OSError:
            self._socket.close()
            raise
        self._fd = self._socket.fileno()
        self._loop.add_reader(self._fd, self._readable)
        # No NEGOTIATE_UNIX_FD: the bus itself refuses messages with descriptors for this connection.
        self._write(b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\nBEGIN\r\n")
        self.call_bus("Hello", answer=self._welcomed)

    def _connect(self, path: bytes, uid: int, gid: int) -> None:
        address = ffi.new("uint8_t[]", socket.AF_UNIX.to_bytes(2, sys.byteorder) + path)
        size = 2 + len(path) + (not path.startswith(b"\0"))
        result = lib.connect_as(self._socket.fileno(), address, size, uid, gid)
        if result:
            raise OSError(-result, os.strerror(-result))

    @property
    def is_open(self) -> bool:
        """Whether the connection is neither closed nor lost."""
        return self._fd >= 0

    @property
    def queued(self) -> int:
        """Bytes that the bus has not read."""
        return len(self._out)

    def close(self) -> None:
        """End the connection; calls of its own are not answered any more."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            if self._writes:
                self._loop.remove_writer(self._fd)
            self._fd = -1
            self._socket.close()
            self._answers.clear()

    def next_serial(self) -> int:
        """Return the serial of the next message; never one of a call of its own that has no reply yet."""
        self._serial = self._serial % MAX_SERIAL + 1
        while self._serial in self._answers:
            self._serial = self._serial % MAX_SERIAL + 1
        return self._serial

    def call_bus(
        self, member: str, *values: Field, interface: str = message.BUS, answer: Answer | None = None
    ) -> None:
        """Call a method of the bus."""
        serial = self.next_serial()
        self._answers[serial] = answer or _ignore
        self._write(message.bus_call(serial, member, *values, interface=interface))

    def become_monitor(self, some: Sequence[str], answer: Answer) -> None:
        """Call BecomeMonitor with match rules; after it the bus accepts nothing more."""
        serial = self.next_serial()
        self._answers[serial] = answer
        self._write(message.become_monitor(serial, some))

    def send(self, frame: Frame, serial: int, reply_serial: int, destination: bytes) -> int:
        """Send a message with another serial and destination; return its size. Raises ValueError."""
        data = message.forwarded(frame, serial, reply_serial, destination)
        self._write(data)
        return len(data)

    def _write(self, data: Any) -> None:
        if self._fd < 0:
            return
        sent = 0
        if not self._out:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                pass
            except OSError as error:
                self._fail(str(error))
                return
            if sent == len(data):
                return
        self._out += data[sent:]
        if len(self._out) > self._max_queued:
            self._fail(f"the bus leaves {len(self._out)} bytes unread")
        elif not self._writes:
            self._writes = True
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(str(error))
            return
        del self._out[:sent]
        if not self._out:
            self._writes = False
            self._loop.remove_writer(self._fd)

    def _fail(self, why: str) -> None:
        if self._fd >= 0:
            self.close()
            # Not from within a write, whose caller is in the middle of something.
            self._loop.call_soon(self._receiver.lost, why)

    def _readable(self) -> None:
        self.read()

    def read(self) -> bool:
        """Handle what has been received, without waiting; return False if that is nothing."""
        if self._fd < 0:
            return False
        try:
            size = self._socket.recv_into(_view)
        except BlockingIOError:
            return False
        except OSError as error:
            self._fail(str(error))
            return False
        if not size:
            self._fail("the bus has closed the connection")
            return False
        self._take(size)
        return True

    def _take(self, size: int) -> None:
        """Handle bytes in the common buffer, which a receiver may read into again: so they are copied."""
        if self._tail or not self._is_authenticated:
            self._tail += _view[:size]
            if len(self._tail) < self._needed:
                return
            data = bytes(self._tail)
            self._tail.clear()
        else:
            data = _view[:size]
        if not self._is_authenticated:
            line, end, data = data.partition(b"\r\n")
            if not end:
                self._tail += line
                if len(line) > AUTHENTICATION_LIMIT:
                    self._fail("an endless answer to the authentication")
                return
            if not line.startswith(b"OK "):
                self._fail(f"the bus has refused the authentication: {line[:80]!r}")
                return
            self._is_authenticated = True
        self._split(data)

    def _split(self, data: bytes) -> None:
        at, end, self._needed = 0, len(data), 0
        pointer, frame = ffi.from_buffer(data), self._frame
        while at < end and self._fd >= 0:
            if self._skip:
                skipped = min(self._skip, end - at)
                self._skip -= skipped
                at += skipped
                continue
            result = lib.frame_read(frame, pointer + at, end - at, self._max_message)
            if result == lib.FRAME_INCOMPLETE:
                self._needed = frame.size if frame.size <= self._max_message else 0
                break
            if result == lib.FRAME_WHOLE:
                at += frame.size
                self._handle(frame)
            elif result == lib.FRAME_TOO_LONG:
                self._skip = frame.size
                self._handle_long(frame)
            else:
                self._fail(f"the bus has sent an invalid message: {message.error_text(result)}")
                return
        self._tail += data[at:]

    def _handle(self, frame: Frame) -> None:
        if frame.n_fds:
            self._fail("the bus has sent descriptors, which were not negotiated")
            return
        if frame.reply_serial and frame.type in (message.RETURN, message.ERROR):
            answer = self._answers.pop(frame.reply_serial, None)
            if answer:
                answer(frame)
                return
        self._receiver.receive(frame)

    def _handle_long(self, frame: Frame) -> None:
        if self._answers.pop(frame.reply_serial, None):
            self._fail("the bus has sent a reply that is too long")
        else:
            self._receiver.too_long(frame)

    def _welcomed(self, frame: Frame) -> None:
        if frame.type == message.ERROR:
            self._fail(f"Hello: {bus_error(frame)}")
        else:
            self._receiver.named(message.body_strings(frame)[0].encode())


def _ignore(_: Frame) -> None:
    """Take the reply of a call whose failure means nothing."""


def bus_error(frame: Frame) -> str:
    """Return what an error says."""
    why = message.body_strings(frame) if frame.signature_size else []
    return f"{message.bus_text(message.text(frame.error_name, frame.error_name_size))}: {' '.join(why)}"
