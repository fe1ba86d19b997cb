"""Marshalling of values in both byte orders, by hand (D-Bus specification, "Marshaling (Wire Format)").

Values: integers, floats and ``bool`` as themselves; ``s``, ``o``, ``g`` as ``str``; arrays as lists (``ay``
as ``bytes``), dictionaries as ``dict``, structs as tuples, variants as ``Variant``; ``h`` as the index of a
descriptor. Nothing is validated, so that invalid values can be written too: a string given as ``bytes`` is
written unchanged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

LITTLE, BIG = "l", "B"
ORDER = {LITTLE: "<", BIG: ">"}
FIXED = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
ALIGNMENT = {
    code: size for size, codes in {1: "ygv", 2: "nq", 4: "biuhsoa", 8: "xtd({"}.items() for code in codes
}


class Variant(NamedTuple):
    """A value together with its single complete type."""

    signature: str
    value: Any


def types(signature: str) -> Iterator[str]:
    """Yield the single complete types of a signature."""
    at = 0
    while at < len(signature):
        start, depth = at, 0
        while True:
            depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[at], 0)
            at += 1
            if depth == 0 and signature[at - 1] != "a":
                break
        yield signature[start:at]


def pad(offset: int, boundary: int) -> int:
    """Return the number of padding bytes from ``offset`` to ``boundary``."""
    return -offset % boundary


class Writer:
    """Appends values to ``data``; offset 0 is aligned to 8."""

    def __init__(self, order: str = LITTLE, padding: bytes = b"\0") -> None:
        self.data = bytearray()
        self.order = order
        self.padding = padding

    def align(self, boundary: int) -> None:
        self.data += self.padding * pad(len(self.data), boundary)

    def fixed(self, code: str, value: Any) -> None:
        self.align(ALIGNMENT[code])
        self.data += struct.pack(ORDER[self.order] + FIXED[code], value)

    def write(self, signature: str, *values: Any) -> Writer:
        """Append one value for each single complete type of ``signature``."""
        for kind, value in zip(types(signature), values, strict=True):
            self.value(kind, value)
        return self

    def value(self, kind: str, value: Any) -> None:
        code = kind[0]
        if code in FIXED:
            self.fixed(code, value)
        elif code in "so":
            text = value if isinstance(value, bytes) else value.encode()
            self.fixed("u", len(text))
            self.data += text + b"\0"
        elif code == "g":
            text = value if isinstance(value, bytes) else value.encode()
            self.data += bytes([len(text)]) + text + b"\0"
        elif code == "v":
            self.value("g", value.signature)
            self.write(value.signature, value.value)
        elif code == "a":
            self.array(kind[1:], value)
        else:
            self.align(8)
            self.write(kind[1:-1], *value)

    def array(self, element: str, values: Any) -> None:
        self.fixed("u", 0)
        count_at = len(self.data) - 4
        self.align(ALIGNMENT[element[0]])
        start = len(self.data)
        if element == "y":
            self.data += bytes(values)
        else:
            for item in values.items() if isinstance(values, dict) else values:
                self.value(element, item)
        struct.pack_into(ORDER[self.order] + "I", self.data, count_at, len(self.data) - start)


class Reader:
    """Takes values from ``data``, which begins at an offset aligned to 8."""

    def __init__(self, data: bytes, order: str = LITTLE, at: int = 0) -> None:
        self.data = data
        self.order = order
        self.at = at

    def fixed(self, code: str) -> Any:
        self.at += pad(self.at, ALIGNMENT[code])
        form = ORDER[self.order] + FIXED[code]
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return bool(value) if code == "b" else value

    def take(self, length: int) -> bytes:
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def read(self, signature: str) -> tuple[Any, ...]:
        """Take one value for each single complete type of ``signature``."""
        return tuple(self.value(kind) for kind in types(signature))

    def value(self, kind: str) -> Any:
        code = kind[0]
        if code in FIXED:
            return self.fixed(code)
        if code in "sog":
            text = self.take(self.fixed("y" if code == "g" else "u")).decode()
            self.at += 1
            return text
        if code == "v":
            signature = self.value("g")
            return Variant(signature, self.value(signature))
        if code == "a":
            return self.array(kind[1:])
        self.at += pad(self.at, 8)
        return self.read(kind[1:-1])

    def array(self, element: str) -> Any:
        length = self.fixed("u")
        self.at += pad(self.at, ALIGNMENT[element[0]])
        if element == "y":
            return self.take(length)
        end = self.at + length
        values = []
        while self.at < end:
            values.append(self.value(element))
        return dict(values) if element[0] == "{" else values


def marshal(signature: str, values: Sequence[Any], order: str = LITTLE) -> bytes:
    """Marshal ``values``, one for each single complete type."""
    return bytes(Writer(order).write(signature, *values).data)


def unmarshal(signature: str, data: bytes, order: str = LITTLE) -> tuple[Any, ...]:
    """Read the values that ``marshal`` wrote."""
    return Reader(data, order).read(signature)
