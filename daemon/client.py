"""A client for omnibusd's own commands and for omnibusctl: one blocking call after the other, or a stream."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any, Final

from ..transport.address import Address, AddressError, parse
from .codec import FIXED_HEADER, Message, Variant, make_body, message_size, parse_message
from .errors import DBusError

# The codes of header fields, and types of messages (specification: "Message Format"). They are not taken from
# the data plane, since --check has to find out whether that can be imported.
PATH: Final = 1
INTERFACE: Final = 2
MEMBER: Final = 3
ERROR_NAME: Final = 4
REPLY_SERIAL: Final = 5
DESTINATION: Final = 6
SENDER: Final = 7
SIGNATURE: Final = 8
METHOD_CALL: Final = 1
METHOD_RETURN: Final = 2
ERROR: Final = 3
SIGNAL: Final = 4
BUS_NAME: Final = "org.freedesktop.DBus"
BUS_PATH: Final = "/org/freedesktop/DBus"


class NotConnected(Exception):
    """There is no bus, or it does not talk to this client; the text says why.

    ``absent``: nothing listens. ``timed_out``: it has not answered in time.
    """

    absent = False
    timed_out = False


class Client:
    """A connected socket, which has its time-out already; call ``begin`` first.

    Methods raise NotConnected when the connection is lost or the time-out passes.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.guid = ""
        self.name = ""
        self._buffer = bytearray()
        self._serial = 0

    def begin(self) -> None:
        """Authenticate as this process's user, and say Hello; raises DBusError, too."""
        uid = str(os.geteuid()).encode().hex().encode()
        self._send(b"\0AUTH EXTERNAL " + uid + b"\r\n")
        answer = self._line()
        if not answer.startswith(b"OK "):
            raise NotConnected(f"authentication was answered by {answer!r}")
        self.guid = answer[3:].decode("ascii", "replace")
        # Credentials have a process's descriptor. dbus-broker from 37 on disconnects a client that asks for
        # them and can't receive that. recv(2) closes descriptors.
        self._send(b"NEGOTIATE_UNIX_FD\r\n")
        self._line()
        self._send(b"BEGIN\r\n")
        (name,) = self.call(BUS_NAME, "Hello")
        self.name = str(name)

    def call(
        self,
        interface: str,
        member: str,
        signature: str = "",
        *values: Any,
        destination: str = BUS_NAME,
        path: str = BUS_PATH,
    ) -> list[Any]:
        """Call a method, by default of the bus itself; return the values of the reply.

        Raises DBusError for an error reply.
        """
        self._serial += 1
        fields = {
            PATH: Variant("o", path),
            INTERFACE: Variant("s", interface),
            MEMBER: Variant("s", member),
            DESTINATION: Variant("s", destination),
        }
        if signature:
            fields[SIGNATURE] = Variant("g", signature)
        self._send(Message(METHOD_CALL, self._serial, fields, make_body(signature, values)).encode())
        reply = self._reply(self._serial)
        try:
            found = reply.values()
        except ValueError as error:
            raise NotConnected(f"the reply of {member} is malformed: {error}") from error
        if reply.type == ERROR:
            text = found[0] if found and isinstance(found[0], str) else ""
            raise DBusError(str(reply.fields[ERROR_NAME].value), text)
        return found

    def receive(self, deadline: float | None = None) -> Message | None:
        """Return the next message; None if there is none by ``deadline``, as of time.monotonic().

        Without a deadline the time-out of the socket counts.
        """
        data = self.receive_bytes(deadline)
        try:
            return None if data is None else parse_message(data)
        except ValueError as error:
            raise NotConnected(f"a message is malformed: {error}") from error

    def receive_bytes(self, deadline: float | None = None) -> bytes | None:
        """Return the next message as ``receive``, without looking into it."""
        while (data := self._whole()) is None:
            if not self._fill(deadline):
                return None
        return data

    def _whole(self) -> bytes | None:
        """Take a message out of what was received."""
        if len(self._buffer) < FIXED_HEADER:
            return None
        try:
            size = message_size(bytes(self._buffer[:FIXED_HEADER]))
        except ValueError as error:
            raise NotConnected(f"a message is malformed: {error}") from error
        if len(self._buffer) < size:
            return None
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer and len(self._buffer) < 4096:
            self._fill()
        line, _, rest = bytes(self._buffer).partition(b"\r\n")
        self._buffer[:] = rest
        return line

    def _fill(self, deadline: float | None = None) -> bool:
        """Receive something; return False if there is nothing by the deadline."""
        before = self.socket.gettimeout()
        if deadline is not None:
            self.socket.settimeout(max(1e-6, deadline - time.monotonic()))
        try:
            data = self.socket.recv(65536)
        except TimeoutError as error:
            if deadline is not None:
                return False
            lost = NotConnected("no answer: timed out")
            lost.timed_out = True
            raise lost from error
        except OSError as error:
            raise NotConnected(f"no answer: {error}") from error
        finally:
            self.socket.settimeout(before)
        if not data:
            raise NotConnected("the connection was closed")
        self._buffer += data
        return True

    def _send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise NotConnected(str(error)) from error

    def _reply(self, serial: int) -> Message:
        while True:
            found = self.receive()
            assert found is not None, "there is no deadline"
            answers = found.fields.get(REPLY_SERIAL, Variant("u", 0)).value == serial
            if answers and found.type in (METHOD_RETURN, ERROR):
                return found


def connect(text: str, environment: Mapping[str, str], seconds: float) -> socket.socket:
    """Connect to the first Unix address of a list that works; each operation may take ``seconds``.

    Raises NotConnected.
    """
    failure = NotConnected("there is no address of a Unix socket")
    try:
        addresses = parse(text)
    except AddressError as error:
        raise NotConnected(str(error)) from error
    for address in addresses:
        name = _socket_name(address, environment)
        if name is None:
            continue
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(seconds)
        try:
            sock.connect(name)
        except OSError as error:
            sock.close()
            failure = NotConnected(str(error))
            failure.absent = isinstance(error, (FileNotFoundError, ConnectionRefusedError))
        else:
            return sock
    raise failure


def _socket_name(address: Address, environment: Mapping[str, str]) -> bytes | None:
    options = address.options
    if address.transport != "unix":
        return None
    if "abstract" in options:
        return b"\0" + os.fsencode(options["abstract"])
    if options.get("runtime") == "yes" and "XDG_RUNTIME_DIR" in environment:
        return os.fsencode(environment["XDG_RUNTIME_DIR"] + "/bus")
    return os.fsencode(options["path"]) if "path" in options else None
