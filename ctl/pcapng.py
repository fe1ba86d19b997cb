"""Capture files: pcapng with D-Bus messages (LINKTYPE_DBUS), as Wireshark and busctl read them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

LINKTYPE_DBUS: Final = 231
SECTION: Final = 0x0A0D0D0A
INTERFACE: Final = 1
PACKET: Final = 6
MAGIC: Final = 0x1A2B3C4D
COMMENT: Final = 1
MICROSECONDS: Final = b"\x09\x00\x01\x00\x06\x00\x00\x00"  # if_tsresol
LARGEST: Final = 2**28
"""Bytes of a block, more than a message may have."""


class Packet(NamedTuple):
    """A message, as much of it as was kept, and when it was read, in microseconds; size: that on the bus."""

    realtime: int
    data: bytes
    size: int
    comment: str | None = None


def header(snaplen: int = 0) -> bytes:
    """Return the beginning of a file; ``snaplen``: the most bytes of a message, 0 all."""
    section = struct.pack("<IHHq", MAGIC, 1, 0, -1)
    interface = struct.pack("<HHI", LINKTYPE_DBUS, 0, snaplen) + MICROSECONDS + bytes(4)
    return _block(SECTION, section) + _block(INTERFACE, interface)


def packet(one: Packet) -> bytes:
    """Return the block of a message."""
    fixed = struct.pack("<IIIII", 0, one.realtime >> 32, one.realtime & 0xFFFFFFFF, len(one.data), one.size)
    options = b""
    if one.comment:
        text = one.comment.encode("utf-8", "replace")[:60000]
        options = struct.pack("<HH", COMMENT, len(text)) + text + bytes(-len(text) % 4) + bytes(4)
    return _block(PACKET, fixed + one.data + bytes(-len(one.data) % 4) + options)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def read(stream: BinaryIO) -> Iterator[Packet]:
    """Yield the messages of a capture of this program; what follows an incomplete block is left out.

    Raises ValueError for a file that is none.
    """
    first = True
    while head := stream.read(8):
        kind, size = struct.unpack("<II", head) if len(head) == 8 else (0, 0)
        if first and kind != SECTION:
            raise ValueError("this is no pcapng file of this byte order")
        first = False
        if not 12 <= size <= LARGEST or size % 4:
            raise ValueError(f"a block of {size} bytes")
        body = stream.read(size - 8)
        if len(body) < size - 8:
            return
        if kind == INTERFACE and (size < 20 or struct.unpack_from("<H", body)[0] != LINKTYPE_DBUS):
            raise ValueError("this is no capture of D-Bus messages")
        if kind == PACKET:
            yield _packet(body[:-4])


def _packet(body: bytes) -> Packet:
    if len(body) < 20:
        raise ValueError("a packet without a head")
    _, high, low, kept, size = struct.unpack_from("<IIIII", body)
    if 20 + kept > len(body):
        raise ValueError("a packet that is longer than its block")
    return Packet(high << 32 | low, body[20 : 20 + kept], size, _comment(body[20 + kept + -kept % 4 :]))


def _comment(options: bytes) -> str | None:
    while len(options) >= 4:
        code, size = struct.unpack_from("<HH", options)
        if code == 0 or 4 + size > len(options):
            return None
        if code == COMMENT:
            return options[4 : 4 + size].decode("utf-8", "replace")
        options = options[4 + size + -size % 4 :]
    return None
