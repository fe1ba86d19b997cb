"""The expected verdicts in plain Python: D-Bus specification, "Message Format", without the bodies."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.message import Field, Type

from .filters import BIG_ENDIAN, CALL, MULTICAST, NAMED, REPLY, TOPIC_SHIFT, UNICAST, Flow

KINDS = {
    Field.PATH: b"o",
    Field.INTERFACE: b"s",
    Field.MEMBER: b"s",
    Field.ERROR_NAME: b"s",
    Field.REPLY_SERIAL: b"u",
    Field.DESTINATION: b"s",
    Field.SIGNATURE: b"g",
}
REQUIRED = {
    Type.METHOD_CALL: {Field.PATH, Field.MEMBER},
    Type.METHOD_RETURN: {Field.REPLY_SERIAL},
    Type.ERROR: {Field.ERROR_NAME, Field.REPLY_SERIAL},
    Type.SIGNAL: {Field.PATH, Field.INTERFACE, Field.MEMBER},
}
FORBIDDEN = {
    Type.METHOD_CALL: {Field.REPLY_SERIAL, Field.ERROR_NAME},
    Type.METHOD_RETURN: {Field.ERROR_NAME},
    Type.ERROR: set[Field](),
    Type.SIGNAL: {Field.REPLY_SERIAL, Field.ERROR_NAME},
}
NOTED = {
    Type.METHOD_CALL: (Field.DESTINATION, Field.PATH, Field.INTERFACE, Field.MEMBER),
    Type.METHOD_RETURN: (Field.DESTINATION, Field.REPLY_SERIAL),
    Type.ERROR: (Field.DESTINATION, Field.REPLY_SERIAL, Field.ERROR_NAME),
    Type.SIGNAL: (Field.DESTINATION, Field.PATH, Field.INTERFACE, Field.MEMBER),
}
"""The fields that filters see; all others match anything."""
FURTHEST = 1016
MAX_FIELDS = 6
MAX_TEXT = 255


class Wrong(Exception):
    """A message that a filter can't accept as valid."""


def demand(holds: bool) -> None:
    if not holds:
        raise Wrong


@dataclass
class Header:
    type: Type
    flags: int
    texts: dict[Field, bytes] = field(default_factory=dict)
    offsets: dict[Field, int] = field(default_factory=dict)


def read(data: bytes, *, big_endian: bool, max_size: int) -> Header:
    """Parse a message that may go directly.

    Raises:
        Wrong: it may not.
    """
    order = ">" if big_endian else "<"
    demand(16 <= len(data) <= max_size)
    mark, kind, flags, version, body, serial, length = struct.unpack_from(order + "cBBBIII", data)
    demand(mark == (b"B" if big_endian else b"l") and version == 1 and kind in REQUIRED and serial != 0)
    end = 16 + length
    padded = end + -end % 8
    demand(length > 0 and padded + body == len(data))
    header = Header(Type(kind), flags)
    at = 16
    while at < end:
        demand(len(header.offsets) < MAX_FIELDS)
        stop = _read_field(header, data, at, order)
        demand(stop <= end)
        at = stop + -stop % 8
        demand(not any(data[stop:at]) and (stop == end or at < end))
    _check(header, body)
    return header


def _read_field(header: Header, data: bytes, at: int, order: str) -> int:
    code = data[at]
    demand(code in KINDS)
    kind = KINDS[Field(code)]
    demand(data[at + 1 : at + 4] == b"\x01" + kind + b"\0" and Field(code) not in header.offsets)
    header.offsets[Field(code)] = at
    (number,) = struct.unpack_from(order + "I", data, at + 4)
    if kind == b"u":
        demand(number != 0)
        return at + 8
    start, size = (at + 5, data[at + 4]) if kind == b"g" else (at + 8, number)
    demand(size <= MAX_TEXT and (size > 0 or kind == b"g"))
    demand(start + size < len(data) and data[start + size] == 0)
    header.texts[Field(code)] = data[start : start + size]
    return start + size + 1


def _check(header: Header, body: int) -> None:
    present = set(header.offsets)
    demand(present >= REQUIRED[header.type] and not present & FORBIDDEN[header.type])
    demand(bool(header.texts.get(Field.SIGNATURE)) == (body > 0))
    path = header.texts.get(Field.PATH, b"/")
    demand(path.startswith(b"/") and not path.startswith(b"/org/freedesktop/DBus/Local"))
    demand(not header.texts.get(Field.INTERFACE, b"").startswith(b"org.freedesktop.DBus.Local"))
    broadcast = header.type == Type.SIGNAL and Field.DESTINATION not in present
    demand(broadcast or Field.DESTINATION in present)
    noted = {*NOTED[header.type], *([Field.SIGNATURE] if broadcast else [])}
    demand(all(header.offsets.get(one, 0) <= FURTHEST for one in noted))


def opens(flow: Flow, header: Header) -> bool:
    """Return whether a message belongs to a flow."""
    texts = {
        Field.PATH: flow.path,
        Field.INTERFACE: flow.interface,
        Field.MEMBER: flow.member,
        Field.ERROR_NAME: flow.error_name,
    }
    return (
        flow.destination is not None
        and header.texts.get(Field.DESTINATION) == flow.destination
        and bool(flow.types & 1 << header.type)
        and all(
            text is None or (code in NOTED[header.type] and header.texts.get(code) == text)
            for code, text in texts.items()
        )
    )


def verdict(header: Header, to: int, big_endian: bool) -> int:
    """Return the verdict that sends a message to a member, or to a name."""
    base = to | (BIG_ENDIAN if big_endian else 0)
    if header.type in (Type.METHOD_RETURN, Type.ERROR):
        return base | REPLY | (header.offsets[Field.REPLY_SERIAL] + 4) // 4 << 14
    if header.type == Type.METHOD_CALL and not header.flags & 1:
        return base | CALL | 8 // 4 << 14
    return base


def egress(
    data: bytes, flows: Sequence[Flow], *, big_endian: bool, broadcasts: bool, max_size: int
) -> set[int]:
    """Return all valid verdicts, if flows lead to several members; none: ask."""
    try:
        header = read(data, big_endian=big_endian, max_size=max_size)
    except Wrong:
        return set()
    if header.type == Type.SIGNAL and Field.DESTINATION not in header.texts:
        return {MULTICAST | (BIG_ENDIAN if big_endian else 0)} if broadcasts else set()
    return {verdict(header, UNICAST | flow.index, big_endian) for flow in flows if opens(flow, header)}


TOPICS = (Type.METHOD_CALL, Type.METHOD_RETURN, Type.SIGNAL, Type.ERROR)


def shared(data: bytes, max_size: int) -> int | None:
    """Return the verdict of the filter that all members share; None: ask."""
    try:
        header = read(data, big_endian=False, max_size=max_size)
    except Wrong:
        return None
    if Field.DESTINATION not in header.offsets:
        return MULTICAST
    name = (header.offsets[Field.DESTINATION] + 4) // 4
    return verdict(header, NAMED | TOPICS.index(header.type) << TOPIC_SHIFT | name, big_endian=False)
