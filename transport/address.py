"""Server addresses (spec, "Server Addresses"): ``transport:key=value,key=value;transport:...``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ..record import Record

_UNESCAPED = frozenset(b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz/.\\*")
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


class AddressError(ValueError):
    """The text is not an address, or not one to listen on; the message is the reference's."""


class Address(Record):
    """One address. Values in ``options`` are not escaped; bytes that are not UTF-8 are surrogates."""

    transport: str
    options: Mapping[str, str]

    def __str__(self) -> str:
        """Write the address with its values escaped, in the order of ``options``."""
        pairs = ",".join(f"{key}={escape(value)}" for key, value in self.options.items())
        return f"{self.transport}:{pairs}"


def parse(text: str) -> list[Address]:
    """Read a list of addresses, at least one; raises AddressError.

    As in the reference, one trailing separator is accepted, and the first of duplicate keys counts.
    """
    if not text:
        raise AddressError("Empty address ''")
    return [_parse_one(entry) for entry in text.removesuffix(";").split(";")]


def join(addresses: Iterable[Address]) -> str:
    """Write a list of addresses."""
    return ";".join(map(str, addresses))


def escape(value: str) -> str:
    """Escape a value: every byte but ``[-0-9A-Za-z_/.\\*]`` becomes % and two hex digits."""
    return "".join(chr(byte) if byte in _UNESCAPED else f"%{byte:02x}" for byte in os.fsencode(value))


def unescape(text: str) -> str:
    """Undo ``escape``.

    Raises AddressError for a byte that should have been escaped, an invalid escape, and an escaped nul, at
    which the reference would end the value.
    """
    escaped = os.fsencode(text)
    value = bytearray()
    position = 0
    while position < len(escaped):
        byte = escaped[position]
        if byte in _UNESCAPED:
            value.append(byte)
            position += 1
        elif byte == ord("%"):
            value.append(_hex_byte(escaped[position + 1 : position + 3]))
            position += 3
        else:
            character = chr(byte) if byte < 0x80 else f"\\x{byte:02x}"
            raise AddressError(f"In D-Bus address, character '{character}' should have been escaped")
    if b"\0" in value:
        raise AddressError("In D-Bus address, a value contains a nul byte")
    return os.fsdecode(bytes(value))


def _hex_byte(digits: bytes) -> int:
    if len(digits) < 2:
        raise AddressError("In D-Bus address, percent character was not followed by two hex digits")
    if not _HEX_DIGITS.issuperset(digits):
        raise AddressError(
            "In D-Bus address, percent character was followed by characters other than hex digits"
        )
    return int(digits, 16)


def _parse_one(entry: str) -> Address:
    transport, colon, rest = entry.partition(":")
    if not colon:
        raise AddressError("Address does not contain a colon")
    options: dict[str, str] = {}
    for pair in rest.removesuffix(",").split(",") if rest else ():
        key, _, value = pair.partition("=")
        if not key or not value:
            raise AddressError("'=' character not found or has no value following it")
        unescaped = unescape(value)
        options.setdefault(key, unescaped)
    return Address(transport, options)
