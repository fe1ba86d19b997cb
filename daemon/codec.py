"""Marshalling: bodies of messages to and from the bus, and whole messages for a client.

Arrays and structs are lists, ``ay`` is bytes, dictionaries are dicts, booleans are 0 and 1, and ``h`` is the
index of a descriptor. The data plane has validated the body of each message that it hands up, and it writes
the headers of the bus's own messages. Reading is bounded nevertheless, and raises ValueError.

Rejected: a marshaller in C. The signature has to be walked in Python in any case, and a call into C takes as
long as writing the few bytes here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final, NamedTuple

from .signature import complete_types

STRINGS_AT_ONCE: Final = 2000
"""An even number; this many take about a millisecond."""
MAX_MESSAGE: Final = 2**27  # bytes; specification: "Message Format"
HEADER: Final = "yyyyuua(yv)"
FIXED_HEADER: Final = 16  # bytes, including the length of the fields
SIGNATURE: Final = 8  # the code of the header field

_FORMATS: Final = dict(zip("ybnqiuhxtd", "BIhHiIIqQd", strict=True))
_LITTLE: Final = {code: struct.Struct("<" + form) for code, form in _FORMATS.items()}
_BIG: Final = {code: struct.Struct(">" + form) for code, form in _FORMATS.items()}
_ALIGNMENT: Final = dict(zip("ygvnqbiuhsoaxtd({", (1, 1, 1, 2, 2, *[4] * 7, *[8] * 5), strict=True))


class Variant(NamedTuple):
    """A value and its type, one complete type."""

    signature: str
    value: Any


def has_descriptors(value: Any) -> bool:
    """Return whether there is an index of a descriptor, which would be one of another message later."""
    if isinstance(value, Variant):
        return "h" in value.signature or has_descriptors(value.value)
    if isinstance(value, dict):
        return any(map(has_descriptors, value.values()))
    return isinstance(value, list) and any(map(has_descriptors, value))


def make_body(signature: str, values: Sequence[Any]) -> bytes:
    """Marshal one value for each complete type in ``signature``, in little endian."""
    out = bytearray()
    for kind, value in zip(complete_types(signature), values, strict=True):
        _write(out, kind, value)
    return bytes(out)


def _write(out: bytearray, kind: str, value: Any) -> None:
    code = kind[0]
    if code in _LITTLE:
        fixed = _LITTLE[code]
        out += bytes(-len(out) % fixed.size) + fixed.pack(value)
    elif code in "so":
        text = value.encode("utf-8")
        out += b"%b%b%b\0" % (bytes(-len(out) % 4), len(text).to_bytes(4, "little"), text)
    elif code == "g":
        out += b"%c%b\0" % (len(value), value.encode("ascii"))
    elif code == "v":
        _write(out, "g", value.signature)
        _write(out, value.signature, value.value)
    elif code == "a":
        _write_array(out, kind[1:], value)
    else:
        out += bytes(-len(out) % 8)
        for one, item in zip(complete_types(kind[1:-1]), value, strict=True):
            _write(out, one, item)


def _write_array(out: bytearray, kind: str, values: Any) -> None:
    out += bytes(-len(out) % 4 + 4)
    size_at = len(out) - 4
    out += bytes(-len(out) % _ALIGNMENT[kind[0]])
    begin = len(out)
    if kind == "y":
        out += values
    else:
        for value in values.items() if kind[0] == "{" else values:
            _write(out, kind, value)
    _LITTLE["u"].pack_into(out, size_at, len(out) - begin)


def read_body(signature: str, body: bytes | memoryview, big_endian: bool) -> list[Any]:
    """Return the first values of ``body``, one for each complete type in ``signature``."""
    reader = Reader(body, big_endian)
    try:
        return [reader.value(kind) for kind in complete_types(signature)]
    except (KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"a body of signature {signature!r} can't be read: {error}") from error


def read_strings(body: memoryview, big_endian: bool, *, pairs: bool = False) -> Iterator[list[str]]:
    """Read the array of strings at the beginning of ``body``, or of pairs of strings (a{ss}).

    Yields lists of STRINGS_AT_ONCE strings; the last list is shorter.
    """
    reader = Reader(body, big_endian)
    end = reader.array_end("{" if pairs else "s")
    found: list[str] = []
    while reader.at < end:
        if pairs and not len(found) % 2:
            reader.align(8)
        found.append(reader.value("s"))
        if len(found) == STRINGS_AT_ONCE:
            yield found
            found = []
    yield found


class Reader:
    """Reads values of a body; ``at`` is the offset of the next one."""

    def __init__(self, body: bytes | memoryview, big_endian: bool) -> None:
        self.at = 0
        self._body = body
        self._fixed = _BIG if big_endian else _LITTLE

    def align(self, boundary: int) -> None:
        """Skip padding."""
        self.at += -self.at % boundary

    def value(self, kind: str) -> Any:
        """Read a value of one complete type."""
        code = kind[0]
        if code in self._fixed:
            fixed = self._fixed[code]
            at = self.at + -self.at % fixed.size
            self.at = at + fixed.size
            if self.at > len(self._body):
                raise ValueError("a value ends behind the body")
            return fixed.unpack_from(self._body, at)[0]
        if code in "so":
            return self._text(self.value("u"))
        if code == "g":
            return self._text(self.value("y"))
        if code == "v":
            signature = self.value("g")
            (inner,) = complete_types(signature)
            return Variant(signature, self.value(inner))
        if code == "a":
            return self._array(kind[1:])
        members = complete_types(kind[1:-1])
        if not members:
            raise ValueError(f"there is no type {kind!r}")
        self.align(8)
        return [self.value(one) for one in members]

    def array_end(self, kind: str) -> int:
        """Read the head of an array with elements of this type; return the offset of their end."""
        size = self.value("u")
        self.align(_ALIGNMENT[kind[0]])
        end: int = self.at + size
        if end > len(self._body):
            raise ValueError(f"an array of {size} bytes ends behind the body")
        return end

    def _array(self, kind: str) -> Any:
        end = self.array_end(kind)
        if kind == "y":
            begin, self.at = self.at, end
            return bytes(self._body[begin:end])
        values = []
        while self.at < end:
            values.append(self.value(kind))
        if self.at > end:
            raise ValueError("an element ends behind its array")
        return dict(values) if kind[0] == "{" else values

    def _text(self, size: int) -> str:
        begin = self.at
        self.at = begin + size + 1
        if self.at > len(self._body):
            raise ValueError(f"a text of {size} bytes ends behind the body")
        return str(self._body[begin : begin + size], "utf-8")


class Message(NamedTuple):
    """A whole message; header fields are keyed by their codes."""

    type: int
    serial: int
    fields: dict[int, Variant]
    body: bytes = b""
    flags: int = 0
    big_endian: bool = False

    def encode(self) -> bytes:
        """Marshal it, in little endian; the body has to be."""
        fixed = (ord("l"), self.type, self.flags, 1, len(self.body), self.serial)
        header = make_body(HEADER, (*fixed, list(self.fields.items())))
        return header + bytes(-len(header) % 8) + self.body

    def values(self) -> list[Any]:
        """Return the values of the body; raises ValueError."""
        signature = self.fields.get(SIGNATURE)
        return read_body(signature.value, self.body, self.big_endian) if signature else []


def message_size(start: bytes) -> int:
    """Return the size of a whole message by its first FIXED_HEADER bytes; raises ValueError."""
    big_endian = start[0] == ord("B")
    body_size, fields_size = (read_body("u", start[at:], big_endian)[0] for at in (4, 12))
    size: int = FIXED_HEADER + fields_size + -fields_size % 8 + body_size
    if size > MAX_MESSAGE:
        raise ValueError(f"a message of {size} bytes")
    return size


def parse_message(data: bytes) -> Message:
    """Return a whole message; raises ValueError."""
    if len(data) < FIXED_HEADER or len(data) != message_size(data):
        raise ValueError(f"{len(data)} bytes are no whole message")
    big_endian = data[0] == ord("B")
    _, type_, flags, _, body_size, serial, fields = read_body(HEADER, data, big_endian)
    return Message(type_, serial, dict(fields), data[len(data) - body_size :], flags, big_endian)


def read_message(stream: BinaryIO) -> Message | None:
    """Read a message; return None at the end of the stream. Raises ValueError and the stream's exceptions."""
    start = stream.read(FIXED_HEADER)
    if len(start) < FIXED_HEADER:
        return None
    return parse_message(start + stream.read(message_size(start) - FIXED_HEADER))
