"""Messages as values, and frames built field by field, even invalid ones (spec, "Message Format")."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

from support.wire import BIG, LITTLE, ORDER, Reader, Variant, Writer, marshal, pad

__all__ = ["BIG", "LITTLE", "Field", "Flag", "Message", "Type", "frame", "frame_length", "parse"]


class Type(IntEnum):
    INVALID = 0
    METHOD_CALL = 1
    METHOD_RETURN = 2
    ERROR = 3
    SIGNAL = 4


class Flag(IntFlag):
    NO_REPLY_EXPECTED = 1
    NO_AUTO_START = 2
    ALLOW_INTERACTIVE_AUTHORIZATION = 4


class Field(IntEnum):
    PATH = 1
    INTERFACE = 2
    MEMBER = 3
    ERROR_NAME = 4
    REPLY_SERIAL = 5
    DESTINATION = 6
    SENDER = 7
    SIGNATURE = 8
    UNIX_FDS = 9


FIELD_TYPE = {Field.PATH: "o", Field.REPLY_SERIAL: "u", Field.SIGNATURE: "g", Field.UNIX_FDS: "u"}
HEADER = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. Header fields that are ``None`` are absent; ``extra`` holds (code, signature, value)."""

    type: int = Type.METHOD_CALL
    flags: int = 0
    serial: int = 0
    path: str | None = None
    interface: str | None = None
    member: str | None = None
    error_name: str | None = None
    reply_serial: int | None = None
    destination: str | None = None
    sender: str | None = None
    signature: str = ""
    body: tuple[Any, ...] = ()
    unix_fds: int | None = None
    order: str = LITTLE
    extra: tuple[tuple[int, str, Any], ...] = ()
    fds: list[int] = field(default_factory=list, compare=False)

    def fields(self) -> list[tuple[int, str, Any]]:
        """List the header fields that are present as (code, signature, value), by code."""
        found: list[tuple[int, str, Any]] = []
        for code in Field:
            value = getattr(self, code.name.lower())
            if value is not None and value != "":
                found.append((code, FIELD_TYPE.get(code, "s"), value))
        return [*found, *self.extra]

    def encode(self) -> bytes:
        """Marshal header and body."""
        return frame(
            self.fields(),
            marshal(self.signature, self.body, self.order),
            type=self.type,
            flags=self.flags,
            serial=self.serial,
            order=self.order,
        )


def frame(
    fields: Sequence[tuple[int, str, Any] | bytes],
    body: bytes = b"",
    *,
    type: int = Type.METHOD_CALL,
    flags: int = 0,
    version: int = 1,
    serial: int = 1,
    order: str = LITTLE,
    mark: str | None = None,
    body_length: int | None = None,
    fields_length: int | None = None,
    padding: bytes = b"\0",
    end_padding: bytes = b"\0",
) -> bytes:
    """Build a message from header fields; every length, marker and padding byte can be overridden.

    A header field given as ``bytes`` is inserted unchanged, aligned to 8.
    """
    writer = Writer(order, padding)
    for one in fields:
        writer.align(8)
        if isinstance(one, bytes):
            writer.data += one
        else:
            code, signature, value = one
            writer.fixed("y", code)
            writer.value("v", Variant(signature, value))
    start = struct.pack(
        ORDER[order] + "cBBBIII",
        (mark or order).encode(),
        type,
        flags,
        version,
        len(body) if body_length is None else body_length,
        serial,
        len(writer.data) if fields_length is None else fields_length,
    )
    return start + bytes(writer.data) + end_padding * pad(len(writer.data), 8) + body


def frame_length(data: bytes) -> int:
    """Return the length of the message with these first 16 bytes."""
    order = ORDER[chr(data[0])]
    (body,) = struct.unpack_from(order + "I", data, 4)
    (fields,) = struct.unpack_from(order + "I", data, 12)
    return int(HEADER + fields + pad(fields, 8) + body)


def parse(data: bytes, fds: Sequence[int] = ()) -> Message:
    """Parse one complete message."""
    order = chr(data[0])
    _, type_, flags, _, body_length, serial = struct.unpack_from(ORDER[order] + "BBBBII", data)
    fields = Reader(data[: len(data) - body_length], order, 12).value("a(yv)")
    known: dict[str, Any] = {}
    extra = []
    for code, value in fields:
        if code in Field._value2member_map_:
            known[Field(code).name.lower()] = value.value
        else:
            extra.append((code, value.signature, value.value))
    body = Reader(data[len(data) - body_length :], order).read(known.get("signature", ""))
    return Message(
        type=type_,
        flags=flags,
        serial=serial,
        order=order,
        body=body,
        extra=tuple(extra),
        fds=list(fds),
        **known,
    )
