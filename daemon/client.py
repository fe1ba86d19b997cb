"""A client for omnibusd's own commands: one connection, and one blocking call after the other."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from ..transport.address import Address, AddressError, parse
from .codec import Message, Variant, read_body, read_message
from .errors import DBusError

# The codes of header fields, and types of messages (specification: "Message Format"). They are not taken from
# the data plane, since --check has to find out whether that can be imported.
PATH: Final = 1
INTERFACE: Final = 2
MEMBER: Final = 3
ERROR_NAME: Final = 4
REPLY_SERIAL: Final = 5
DESTINATION: Final = 6
SIGNATURE: Final = 8
METHOD_CALL: Final = 1
METHOD_RETURN: Final = 2
ERROR: Final = 3
BUS_NAME: Final = "org.freedesktop.DBus"
BUS_PATH: Final = "/org/freedesktop/DBus"


class NotConnected(Exception):
    """There is no bus, or it does not talk to this client; the text says why. ``absent``: nothing listens."""

    absent = False


class Client:
    """A connected socket, which has its time-out already; call ``begin`` first.

    Methods raise NotConnected when the connection is lost or the time-out passes.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._stream = sock.makefile("rb")
        self._serial = 0

    def begin(self) -> None:
        """Authenticate as this process's user, and say Hello; raises DBusError, too."""
        uid = str(os.geteuid()).encode().hex().encode()
        self._send(b"\0AUTH EXTERNAL " + uid + b"\r\n")
        try:
            answer = self._stream.readline(4096)
        except OSError as error:
            raise NotConnected(f"no answer: {error}") from error
        if not answer.startswith(b"OK "):
            raise NotConnected(f"authentication was answered by {answer!r}")
        self._send(b"BEGIN\r\n")
        self.call(BUS_NAME, "Hello")

    def call(self, interface: str, member: str) -> list[object]:
        """Call a method of the bus itself, without arguments; return the values of the reply.

        Raises DBusError for an error reply.
        """
        self._serial += 1
        fields = {
            PATH: Variant("o", BUS_PATH),
            INTERFACE: Variant("s", interface),
            MEMBER: Variant("s", member),
            DESTINATION: Variant("s", BUS_NAME),
        }
        self._send(Message(METHOD_CALL, self._serial, fields).encode())
        reply = self._reply(self._serial)
        signature = str(reply.fields.get(SIGNATURE, Variant("g", "")).value)
        try:
            values = read_body(signature, reply.body, big_endian=False)
        except ValueError as error:
            raise NotConnected(f"the reply of {member} is malformed: {error}") from error
        if reply.type == ERROR:
            text = values[0] if values and isinstance(values[0], str) else ""
            raise DBusError(str(reply.fields[ERROR_NAME].value), text)
        return values

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise NotConnected(str(error)) from error

    def _reply(self, serial: int) -> Message:
        try:
            while (found := read_message(self._stream)) is not None:
                answers = found.fields.get(REPLY_SERIAL, Variant("u", 0)).value == serial
                if answers and found.type in (METHOD_RETURN, ERROR):
                    return found
        except (OSError, ValueError) as error:
            raise NotConnected(f"no answer: {error}") from error
        raise NotConnected("the connection was closed")


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
