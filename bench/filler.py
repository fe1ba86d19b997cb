"""Clients that fill a bus: calls to the driver by the thousand, of which only the replies are counted."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Sequence

from omnibus.daemon.codec import FIXED_HEADER, Message, Variant, make_body, message_size, parse_message
from omnibus.transport.relay import message as numbers

BUS = "org.freedesktop.DBus"
UNDER_WAY = 64
"""Calls that are sent before their replies are read."""
DEADLINE = 120.0  # seconds for the replies to these


class Filler:
    """One connection; ``name`` is its unique name."""

    def __init__(self, address: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(DEADLINE)
        self._sock.connect(address.partition("path=")[2])
        self._received = bytearray()
        self._reply = b""
        uid = str(os.geteuid()).encode().hex().encode()
        self._sock.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\nBEGIN\r\n")
        while b"\r\n" not in self._received:
            self._fill()
        del self._received[: self._received.index(b"\r\n") + 2]
        self.calls("Hello", "", [()])
        self.name = str(parse_message(self._reply).values()[0])

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def calls(self, member: str, signature: str, arguments: Iterable[Sequence[object]]) -> int:
        """Call a method of the bus with each of these arguments; return how many calls there were.

        Raises RuntimeError for an error reply.
        """
        begun = n = 0
        for values in arguments:
            self._sock.sendall(_call(member, signature, values))
            begun += 1
            if begun - n == UNDER_WAY:
                n += self._replies(UNDER_WAY)
        return n + self._replies(begun - n)

    def send(self, data: bytes) -> None:
        """Send messages as they are."""
        self._sock.sendall(data)

    def receive(self, size: int) -> None:
        """Receive so many bytes, whatever they are."""
        while size > 0:
            data = self._sock.recv(min(size, 1 << 20))
            if not data:
                raise RuntimeError("the bus has closed the connection")
            size -= len(data)

    def _replies(self, count: int) -> int:
        left = count
        while left > 0:
            while len(self._received) < FIXED_HEADER:
                self._fill()
            size = message_size(bytes(self._received[:FIXED_HEADER]))
            while len(self._received) < size:
                self._fill()
            kind = self._received[1]
            if kind == numbers.ERROR:
                raise RuntimeError(bytes(self._received[:size]).decode("ascii", "replace"))
            if kind == numbers.METHOD_RETURN:
                left -= 1
                self._reply = bytes(self._received[:size])
            del self._received[:size]
        return count

    def _fill(self) -> None:
        data = self._sock.recv(1 << 16)
        if not data:
            raise RuntimeError("the bus has closed the connection")
        self._received += data


def _call(member: str, signature: str, values: Sequence[object]) -> bytes:
    fields = {
        numbers.PATH: Variant("o", "/org/freedesktop/DBus"),
        numbers.INTERFACE: Variant("s", BUS),
        numbers.MEMBER: Variant("s", member),
        numbers.DESTINATION: Variant("s", BUS),
    }
    if signature:
        fields[numbers.SIGNATURE] = Variant("g", signature)
    return Message(numbers.METHOD_CALL, 1, fields, make_body(signature, values)).encode()


def signal_to(destination: str, size: int) -> bytes:
    """Return a signal to a unique name, with a body of ``size`` bytes."""
    fields = {
        numbers.PATH: Variant("o", "/org/busbench"),
        numbers.INTERFACE: Variant("s", "org.busbench.Endurance"),
        numbers.MEMBER: Variant("s", "Tick"),
        numbers.DESTINATION: Variant("s", destination),
        numbers.SIGNATURE: Variant("g", "ay"),
    }
    body = struct.pack("<I", size) + bytes(size)
    return Message(numbers.SIGNAL, 1, fields, body, flags=numbers.NO_REPLY_EXPECTED).encode()
