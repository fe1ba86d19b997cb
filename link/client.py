"""A connection to a bus that passes messages as they are, and connects as a user of its choice.

Nothing is waited for: authentication, Hello and all that follows is written at once, and the bus handles it
in that order. So a connection can be used as soon as it is made, and order needs no queue of its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from . import message
from .message import Frame, Value
from .wire import ffi, lib

RECEIVE: Final = 1 << 18
AUTHENTICATION_LIMIT: Final = 4096
MAX_PARTS: Final = 256  # of one sendmsg(2), which takes 1024
MAX_SERIAL: Final = 0xFFFFFFFF

Answer = Callable[[Frame], None]
"""Is given the reply to a call of the client's own."""

_buffer = ffi.new("uint8_t[]", RECEIVE)
_view = ffi.buffer(_buffer)


class Sender(Protocol):
    """What has something to send."""

    def flush(self) -> None:
        """Send it."""


class Batch:
    """The clients and flows that have something to send, until what the loop is handling has been handled.

    So several messages for one bus are one system call.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[Sender] = []
        self._depth = 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.flush()

    def add(self, sender: Sender) -> None:
        """Send for a client or flow later."""
        if not self._due and not self._depth:
            self._loop.call_soon(self.flush)
        self._due.append(sender)

    def flush(self) -> None:
        """Send for all."""
        due, self._due = self._due, []
        for sender in due:
            sender.flush()


_batches: WeakKeyDictionary[asyncio.AbstractEventLoop, Batch] = WeakKeyDictionary()


def batch_of(loop: asyncio.AbstractEventLoop) -> Batch:
    """Return the one of a loop."""
    if loop not in _batches:
        _batches[loop] = Batch(loop)
    return _batches[loop]


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
        self._tail = b""
        self._whole: bytearray | None = None
        self._filled = 0
        self._skip = 0
        self._out: deque[memoryview] = deque()
        self._queued = 0
        self._is_blocked = False
        self._is_due = False
        self._batch = batch_of(self._loop)
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
        return self._queued

    def close(self) -> None:
        """End the connection; calls of its own are not answered any more."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            if self._is_blocked:
                self._loop.remove_writer(self._fd)
            self._fd = -1
            self._socket.close()
            self._answers.clear()
            self._out.clear()
            self._queued = 0

    def pause(self) -> None:
        """Read nothing more, so that the bus holds back what is for this connection."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read again."""
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._readable)

    def next_serial(self) -> int:
        """Return the serial of the next message; never one of a call of its own that has no reply yet."""
        self._serial = self._serial % MAX_SERIAL + 1
        while self._serial in self._answers:
            self._serial = self._serial % MAX_SERIAL + 1
        return self._serial

    def call_bus(
        self, member: str, *values: Value, interface: str = message.BUS, answer: Answer | None = None
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
        """Send data at the end of what the loop is handling, with all else that is sent until then."""
        if self._fd < 0:
            return
        self._out.append(memoryview(data))
        self._queued += len(data)
        if self._is_blocked:
            self._check_queue()
        elif not self._is_due:
            self._is_due = True
            self._batch.add(self)

    def flush(self) -> None:
        """Send what is queued, as far as the bus reads."""
        self._is_due = False
        if self._fd < 0 or self._is_blocked:
            return
        try:
            self._send_queue()
        except BlockingIOError:
            self._is_blocked = True
            self._loop.add_writer(self._fd, self._writable)
            self._check_queue()
        except OSError as error:
            self._fail(str(error))

    def _send_queue(self) -> None:
        out = self._out
        while out:
            sent = (
                self._socket.send(out[0]) if len(out) == 1 else self._socket.sendmsg(islice(out, MAX_PARTS))
            )
            self._queued -= sent
            while sent:
                first = out[0]
                if sent < len(first):
                    out[0] = first[sent:]
                    break
                sent -= len(first)
                out.popleft()

    def _check_queue(self) -> None:
        if self._queued > self._max_queued:
            self._fail(f"the bus leaves {self._queued} bytes unread")

    def _writable(self) -> None:
        self._is_blocked = False
        self._loop.remove_writer(self._fd)
        self.flush()

    def _fail(self, why: str) -> None:
        if self._fd >= 0:
            self.close()
            # Not from within a write, whose caller is in the middle of something.
            self._loop.call_soon(self._receiver.lost, why)

    def _readable(self) -> None:
        with self._batch:
            self._read()

    def catch_up(self) -> None:
        """Handle all that has been received by now."""
        while self._fd >= 0 and lib.has_input(self._fd):
            self._read()

    def _read(self) -> None:
        whole = self._whole
        try:
            size = self._socket.recv_into(_view if whole is None else memoryview(whole)[self._filled :])
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(str(error))
            return
        if not size:
            self._fail("the bus has closed the connection")
        elif whole is None:
            self._take(size)
        else:
            self._filled += size
            if self._filled == len(whole):
                self._whole = None
                self._split(whole)

    def _take(self, size: int) -> None:
        """Handle bytes in the common buffer, which a receiver may read into again: so they are copied."""
        data = bytes(self._tail) + _view[:size] if self._tail else _view[:size]
        self._tail = b""
        if not self._is_authenticated:
            line, end, data = data.partition(b"\r\n")
            if not end:
                self._tail = line
                if len(line) > AUTHENTICATION_LIMIT:
                    self._fail("an endless answer to the authentication")
                return
            if not line.startswith(b"OK "):
                self._fail(f"the bus has refused the authentication: {line[:80]!r}")
                return
            self._is_authenticated = True
        self._split(data)

    def _split(self, data: bytes | bytearray) -> None:
        """Handle messages; keep the beginning of one whose end is to come."""
        at, end = 0, len(data)
        pointer, frame = ffi.from_buffer(data), self._frame
        while at < end and self._fd >= 0:
            if self._skip:
                skipped = min(self._skip, end - at)
                self._skip -= skipped
                at += skipped
                continue
            result = lib.frame_read(frame, pointer + at, end - at, self._max_message)
            if result == lib.FRAME_INCOMPLETE:
                self._keep(data[at:], frame.size)
                return
            if result == lib.FRAME_WHOLE:
                at += frame.size
                self._handle(frame)
            elif result == lib.FRAME_TOO_LONG:
                self._skip = frame.size
                self._handle_long(frame)
            else:
                self._fail(f"the bus has sent an invalid message: {message.error_text(result)}")
                return

    def _keep(self, begin: bytes | bytearray, size: int) -> None:
        """Keep the beginning of a message of that size; 0: it is unknown."""
        if RECEIVE < size <= self._max_message:
            self._whole = bytearray(size)
            self._whole[: len(begin)] = begin
            self._filled = len(begin)
        else:
            self._tail = bytes(begin)

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
