"""A client without a client library: one blocking socket with a deadline."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from support.addresses import fields, socket_name
from support.message import HEADER, LITTLE, Flag, Message, Type, frame_length, parse
from support.timeouts import scaled

BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
ABSENT = "org.omnibus.Absent"
PEER = "org.freedesktop.DBus.Peer"
PROPERTIES = "org.freedesktop.DBus.Properties"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
ERROR = "org.freedesktop.DBus.Error."
DEADLINE = scaled(20.0)
PACKET = 65536  # maximum bytes of a message to a bus with packet sockets
ROOM_FOR_FDS = socket.CMSG_SPACE(253 * 4)


class Closed(Exception):
    """The bus closed the connection."""


class BusError(Exception):
    """An error reply: ``name`` and ``text`` (empty if it has none)."""

    def __init__(self, reply: Message) -> None:
        self.reply = reply
        self.name = str(reply.error_name)
        self.text = str(reply.body[0]).strip() if reply.body else ""
        super().__init__(f"{self.name}: {self.text}")


@contextlib.contextmanager
def effective_uid(uid: int | None) -> Iterator[None]:
    """Change the effective uid temporarily: the kernel records it on connect."""
    if uid is None or uid == os.geteuid():
        yield
        return
    before = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)


def connection(address: str, deadline: float, uid: int | None = None) -> socket.socket:
    """Connect to an address, and send the nonce if it has one."""
    transport, keys = fields(address.split(";")[0])
    if not transport.startswith("unix"):
        stream = socket.create_connection((keys["host"].decode(), int(keys["port"])), deadline)
        if "noncefile" in keys:
            stream.sendall(Path(keys["noncefile"].decode()).read_bytes())
        return stream
    packets = transport == "unix-seqpacket"
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if packets else socket.SOCK_STREAM)
    stream.settimeout(deadline)
    with effective_uid(uid):
        try:
            stream.connect(socket_name(address))
        except OSError:
            stream.close()
            raise
    return stream


class Wire:
    """The socket: bytes, lines of the authentication, messages, descriptors."""

    def __init__(self, address: str, *, uid: int | None = None, deadline: float = DEADLINE) -> None:
        self.deadline = deadline
        self.socket = connection(address, deadline, uid)
        self.buffer = bytearray()
        self.fds: list[int] = []
        self.kept: list[int] = []

    def send_bytes(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send everything, the descriptors with the first byte; raise Closed if the bus is gone."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        packets = self.socket.type == socket.SOCK_SEQPACKET
        try:
            sent = self.socket.sendmsg([data[:PACKET] if packets else data], control)
            while sent < len(data):
                sent += self.socket.send(data[sent : sent + PACKET] if packets else data[sent:])
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def wait_until_read(self) -> None:
        """Wait until the bus has read all data that was sent."""
        unread = array.array("i", [1])
        end = time.monotonic() + self.deadline
        while unread[0]:
            assert time.monotonic() < end, "the bus does not read"
            fcntl.ioctl(self.socket, termios.TIOCOUTQ, unread)

    def fill(self, deadline: float) -> None:
        """Receive the available data, waiting until ``deadline`` for the first byte."""
        self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data, control, _, _ = self.socket.recvmsg(1 << 20, ROOM_FOR_FDS, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            raise Closed from None
        finally:
            self.socket.settimeout(self.deadline)
        for level, kind, payload in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found = array.array("i")
                found.frombytes(payload[: len(payload) // 4 * 4])
                self.fds += found
                self.kept += found
        if not data:
            raise Closed
        self.buffer += data

    def read_bytes(self, count: int, deadline: float) -> bytes:
        """Return the next ``count`` bytes without consuming them."""
        while len(self.buffer) < count:
            self.fill(deadline)
        return bytes(self.buffer[:count])

    def read_line(self) -> bytes:
        """Read one line of the authentication, without its CR LF."""
        deadline = time.monotonic() + self.deadline
        while b"\r\n" not in self.buffer:
            self.fill(deadline)
        line, _, rest = bytes(self.buffer).partition(b"\r\n")
        self.buffer[:] = rest
        return line

    def read_message(self, deadline: float) -> Message:
        """Read one message with as many descriptors as it claims."""
        length = frame_length(self.read_bytes(HEADER, deadline))
        data = self.read_bytes(length, deadline)
        del self.buffer[:length]
        count = parse(data).unix_fds or 0
        taken, self.fds = self.fds[:count], self.fds[count:]
        return parse(data, taken)

    def expect_closed(self) -> None:
        """Wait for the end of the connection, without any data before it."""
        deadline = time.monotonic() + self.deadline
        try:
            while True:
                assert not self.buffer, f"unexpected bytes before the end: {bytes(self.buffer)!r}"
                self.fill(deadline)
        except Closed:
            pass

    def close_fds(self) -> None:
        """Close every descriptor that was received."""
        for fd in self.kept:
            with contextlib.suppress(OSError):
                os.close(fd)
        self.kept, self.fds = [], []

    def close(self) -> None:
        self.close_fds()
        self.socket.close()


class Client(Wire):
    """A connection to the bus. ``unique`` is its unique name once Hello was answered."""

    def __init__(
        self,
        address: str,
        *,
        uid: int | None = None,
        unix_fds: bool = True,
        hello: bool = True,
        order: str = LITTLE,
        deadline: float = DEADLINE,
    ) -> None:
        super().__init__(address, uid=uid, deadline=deadline)
        self.order = order
        self.inbox: list[Message] = []
        self.serial = 0
        self.unique = ""
        try:
            self.guid = self.authenticate(os.geteuid() if uid is None else uid, unix_fds)
            if hello:
                self.unique = self.hello()
        except BaseException:
            self.close()
            raise

    def authenticate(self, uid: int, unix_fds: bool) -> str:
        """Authenticate by EXTERNAL, and return the GUID of the server."""
        self.send_bytes(b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\n")
        answer = self.read_line()
        assert answer.startswith(b"OK "), answer
        if unix_fds:
            self.send_bytes(b"NEGOTIATE_UNIX_FD\r\n")
            assert self.read_line() == b"AGREE_UNIX_FD"
        self.send_bytes(b"BEGIN\r\n")
        return answer[3:].decode()

    def hello(self) -> str:
        """Call Hello and receive the NameAcquired that follows."""
        unique = str(self.driver("Hello"))
        self.expect(type=Type.SIGNAL, member="NameAcquired", body=(unique,), destination=unique)
        return unique

    def send(self, message: Message, fds: Sequence[int] = ()) -> int:
        """Send a message unchanged, with a new serial if it has none. Return the serial."""
        if not message.serial:
            self.serial += 1
            message = _with_serial(message, self.serial)
        self.send_bytes(message.encode(), fds)
        return message.serial

    def message(self, type: int, signature: str = "", *body: Any, **fields: Any) -> Message:
        """Make a message in this client's byte order with the next serial."""
        self.serial += 1
        fields.setdefault("serial", self.serial)
        fields.setdefault("order", self.order)
        if "fds" in fields:
            fields.setdefault("unix_fds", len(fields["fds"]) or None)
        return Message(type=type, signature=signature, body=body, **fields)

    def start_call(
        self,
        destination: str | None,
        member: str,
        signature: str = "",
        *body: Any,
        path: str | None = "/org/example/Object",
        interface: str | None = "org.example.Interface",
        fds: Sequence[int] = (),
        **fields: Any,
    ) -> int:
        """Send a method call and return its serial."""
        if destination is not None:
            fields["destination"] = destination
        message = self.message(
            Type.METHOD_CALL,
            signature,
            *body,
            path=path,
            interface=interface,
            member=member,
            fds=list(fds),
            **fields,
        )
        return self.send(message, fds)

    def call(
        self, destination: str | None, member: str, signature: str = "", *body: Any, **fields: Any
    ) -> Message:
        """Call a method and return the reply; raise BusError if it is an error."""
        return self.reply_to(self.start_call(destination, member, signature, *body, **fields))

    def driver(
        self,
        member: str,
        signature: str = "",
        *body: Any,
        interface: str | None = BUS,
        path: str = BUS_PATH,
        **fields: Any,
    ) -> Any:
        """Call the bus itself and return the one value of the reply, a tuple of several, or ``None``."""
        reply = self.call(BUS, member, signature, *body, interface=interface, path=path, **fields)
        assert reply.sender == BUS
        return reply.body[0] if len(reply.body) == 1 else reply.body or None

    def own(self, name: str, flags: int = 0) -> int:
        """Request a name, return the result, and receive NameAcquired if we became its owner."""
        result = self.driver("RequestName", "su", name, flags)
        if result == 1:
            self.take(type=Type.SIGNAL, member="NameAcquired", body=(name,))
        return int(result)

    def match(self, rule: str) -> None:
        """Add a match rule."""
        self.driver("AddMatch", "s", rule)

    def signal(
        self,
        member: str,
        signature: str = "",
        *body: Any,
        path: str | None = "/org/example/Object",
        interface: str | None = "org.example.Interface",
        fds: Sequence[int] = (),
        **fields: Any,
    ) -> int:
        """Send a signal and return its serial."""
        message = self.message(
            Type.SIGNAL,
            signature,
            *body,
            path=path,
            interface=interface,
            member=member,
            fds=list(fds),
            **fields,
        )
        return self.send(message, fds)

    def reply(
        self, call: Message, signature: str = "", *body: Any, fds: Sequence[int] = (), **fields: Any
    ) -> int:
        """Answer a call that was received."""
        fields.setdefault("destination", call.sender)
        fields.setdefault("reply_serial", call.serial)
        message = self.message(Type.METHOD_RETURN, signature, *body, fds=list(fds), **fields)
        return self.send(message, fds)

    def error(self, call: Message, name: str, text: str = "", **fields: Any) -> int:
        """Answer a call that was received with an error."""
        fields.setdefault("destination", call.sender)
        message = self.message(Type.ERROR, "s", text, error_name=name, reply_serial=call.serial, **fields)
        return self.send(message)

    def receive(self, timeout: float | None = None) -> Message:
        """Return the next message: first from the inbox, then from the socket."""
        if self.inbox:
            return self.inbox.pop(0)
        return self.read_message(time.monotonic() + (self.deadline if timeout is None else timeout))

    def reply_to(self, serial: int) -> Message:
        """Wait for the reply to a call, putting others into the inbox; raise BusError if it is an error."""
        replies = (Type.METHOD_RETURN, Type.ERROR)
        for at, message in enumerate(self.inbox):
            if message.type in replies and message.reply_serial == serial:
                return _result(self.inbox.pop(at))
        deadline = time.monotonic() + self.deadline
        while True:
            message = self.read_message(deadline)
            if message.type in replies and message.reply_serial == serial:
                return _result(message)
            self.inbox.append(message)

    def expect(self, **fields: Any) -> Message:
        """Receive the next message, which must have these fields."""
        message = self.receive()
        found = {name: getattr(message, name) for name in fields}
        assert found == fields, f"instead of {fields} came {message}"
        return message

    def take(self, **fields: Any) -> Message:
        """Receive the first message with these fields; others may come before it."""
        for at, message in enumerate(self.inbox):
            if all(getattr(message, name) == value for name, value in fields.items()):
                return self.inbox.pop(at)
        deadline = time.monotonic() + self.deadline
        while True:
            message = self.read_message(deadline)
            if all(getattr(message, name) == value for name, value in fields.items()):
                return message
            self.inbox.append(message)

    def expect_error(self, serial: int, name: str) -> str:
        """Wait for the error reply to a call, check its name, and return its text."""
        try:
            reply = self.reply_to(serial)
        except BusError as error:
            assert error.name == name, error
            return error.text
        raise AssertionError(f"no error but {reply}")

    def sync(self) -> None:
        """Return once the bus has handled everything that was sent.

        Three calls, one for each path: to an absent name, to the bus with a lookup, and to the bus.
        """
        absent = self.start_call(ABSENT, "Hail")
        released = self.start_call(BUS, "ReleaseName", "s", ABSENT, interface=BUS, path=BUS_PATH)
        asked = self.start_call(BUS, "GetId", interface=BUS, path=BUS_PATH)
        try:
            self.reply_to(absent)
        except BusError:
            pass
        self.reply_to(released)
        self.reply_to(asked)

    def expect_nothing(self, *after: Client) -> None:
        """Check that ``after`` have caused no message to this client."""
        for sender in after:
            sender.sync()
        self.sync()
        assert self.inbox == []

    def descriptor_count(self) -> int:
        """Return the number of received descriptors that no message has claimed."""
        return len(self.fds)


def _with_serial(message: Message, serial: int) -> Message:
    values = {name: getattr(message, name) for name in message.__slots__}
    return Message(**(values | {"serial": serial}))


def _result(reply: Message) -> Message:
    if reply.type == Type.ERROR:
        raise BusError(reply)
    return reply


NO_REPLY = Flag.NO_REPLY_EXPECTED
