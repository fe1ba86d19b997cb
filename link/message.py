"""Messages: those that were read, and those that a link sends for itself.

A link's own messages are few and have strings and numbers only: calls to the bus, and errors.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

from .wire import ffi, lib

CALL: Final = 1
RETURN: Final = 2
ERROR: Final = 3
SIGNAL: Final = 4
NO_REPLY_EXPECTED: Final = 1

PATH: Final = 1
INTERFACE: Final = 2
MEMBER: Final = 3
ERROR_NAME: Final = 4
REPLY_SERIAL: Final = 5
DESTINATION: Final = 6
SIGNATURE: Final = 8
TYPES: Final = {PATH: b"o", REPLY_SERIAL: b"u", SIGNATURE: b"g"}

BUS: Final = "org.freedesktop.DBus"
BUS_PATH: Final = "/org/freedesktop/DBus"
ACCESS_DENIED: Final = "org.freedesktop.DBus.Error.AccessDenied"
LIMITS_EXCEEDED: Final = "org.freedesktop.DBus.Error.LimitsExceeded"

# Without zeros: it is written at once.
_allocate = ffi.new_allocator(should_clear_after_alloc=False)

Field = str | int
Value = Field | dict[str, str]
"""An argument of a call of the bus: ``s``, ``u``, or ``a{sv}`` with strings."""
Frame = Any
"""A ``struct frame``, see frame.h."""


class Held:
    """A frame with its own copy of the bytes."""

    def __init__(self, data: bytes) -> None:
        """Raise ValueError if the data is not one valid message."""
        self._data = ffi.from_buffer(data)
        self.frame: Frame = ffi.new("struct frame *")
        result = lib.frame_read(self.frame, self._data, len(data), len(data))
        if result != lib.FRAME_WHOLE or self.frame.size != len(data):
            raise ValueError(error_text(result))


def error_text(result: int) -> str:
    """Explain a negative result of ``frame_read``."""
    return str(ffi.string(lib.frame_error(result)).decode())


def forwarded(frame: Frame, serial: int, reply_serial: int, destination: bytes, sender: bytes = b"") -> Any:
    """Return the bytes of a message as they are to be sent; raises ValueError if they would be too many."""
    to_size, from_size = len(destination), len(sender)
    out = _allocate("uint8_t[]", lib.frame_room(frame, to_size, from_size))
    to, from_ = destination or ffi.NULL, sender or ffi.NULL
    size = lib.frame_forward(frame, serial, reply_serial, to, to_size, from_, from_size, out)
    if not size:
        raise ValueError("the message would be too long")
    return ffi.buffer(out, size)


def text(pointer: Any, size: int) -> bytes:
    """Return the bytes of a field, b"" if it is absent."""
    return bytes(ffi.unpack(pointer, size)) if size else b""


def body_of(frame: Frame) -> bytes:
    """Return a copy of the body."""
    return bytes(ffi.buffer(frame.data + frame.body_offset, frame.size - frame.body_offset))


def body_strings(frame: Frame) -> list[str]:
    """Return the arguments of a body that has strings only; raises ValueError for another."""
    if text(frame.signature, frame.signature_size).strip(b"s"):
        raise ValueError("not only strings")
    form = ">I" if frame.big_endian else "<I"
    body, at, found = body_of(frame), 0, []
    while at < len(body):
        (size,) = struct.unpack_from(form, body, at)
        found.append(body[at + 4 : at + 4 + size].decode())
        at = (at + 4 + size + 1 + 3) & ~3
    return found


def body_number(frame: Frame) -> int:
    """Return the first argument, a number of 32 bits; raises ValueError for another."""
    if text(frame.signature, frame.signature_size)[:1] not in (b"u", b"b"):
        raise ValueError("not a number")
    (value,) = struct.unpack_from(">I" if frame.big_endian else "<I", body_of(frame))
    return int(value)


def make(kind: int, serial: int, fields: dict[int, Field], *values: Value) -> bytes:
    """Return a message, little-endian, whose body has these values."""
    if values:
        fields = fields | {SIGNATURE: "".join(map(_type, values))}
    body = bytearray()
    for value in values:
        if isinstance(value, dict):
            _put_texts(body, value)
        else:
            _put(body, _type(value).encode(), value)
    return _message(kind, serial, fields, bytes(body))


def _type(value: Value) -> str:
    return "a{sv}" if isinstance(value, dict) else "u" if isinstance(value, int) else "s"


def _put_texts(out: bytearray, texts: dict[str, str]) -> None:
    out += b"\0" * (-len(out) % 4)
    at = len(out)
    out += bytes(4)
    out += b"\0" * (-len(out) % 8)
    begin = len(out)
    for key, text in texts.items():
        out += b"\0" * (-len(out) % 8)
        _put(out, b"s", key)
        _put(out, b"g", "s")
        _put(out, b"s", text)
    struct.pack_into("<I", out, at, len(out) - begin)


def _message(kind: int, serial: int, fields: dict[int, Field], body: bytes) -> bytes:
    head = bytearray()
    for code, value in fields.items():
        head += b"\0" * (-len(head) % 8)
        kind_of = TYPES.get(code, b"s")
        head += bytes((code, 1)) + kind_of + b"\0"
        _put(head, kind_of, value)
    fixed = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), serial, len(head))
    return fixed + bytes(head) + b"\0" * (-len(head) % 8) + body


def _put(out: bytearray, kind: bytes, value: Field) -> None:
    if kind == b"g":
        encoded = str(value).encode()
        out += bytes((len(encoded),)) + encoded + b"\0"
        return
    out += b"\0" * (-len(out) % 4)
    if isinstance(value, int):
        out += struct.pack("<I", value)
    else:
        encoded = value.encode()
        out += struct.pack("<I", len(encoded)) + encoded + b"\0"


def bus_call(serial: int, member: str, *values: Value, interface: str = BUS) -> bytes:
    """Return a call of a method of the bus."""
    fields: dict[int, Field] = {PATH: BUS_PATH, INTERFACE: interface, MEMBER: member, DESTINATION: BUS}
    return make(CALL, serial, fields, *values)


def become_monitor(serial: int, some: Sequence[str]) -> bytes:
    """Return a call of BecomeMonitor with match rules."""
    array = bytearray()
    for rule in some:
        _put(array, b"s", rule)
    body = struct.pack("<I", len(array)) + bytes(array)
    body += b"\0" * (-len(body) % 4) + struct.pack("<I", 0)
    fields: dict[int, Field] = {
        PATH: BUS_PATH,
        INTERFACE: f"{BUS}.Monitoring",
        MEMBER: "BecomeMonitor",
        DESTINATION: BUS,
        SIGNATURE: "asu",
    }
    return _message(CALL, serial, fields, body)


def error(reply_serial: int, name: str, why: str) -> Held:
    """Return an error reply, to be forwarded."""
    return Held(make(ERROR, 1, {ERROR_NAME: name, REPLY_SERIAL: reply_serial}, why))


def bus_text(data: bytes) -> str:
    """Return a name of a bus as text."""
    return data.decode("ascii", "replace")
