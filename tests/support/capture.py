"""Capture files: the formats of libpcap (pcap-savefile(5)) and of its successor (pcapng)."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from support.message import Message, parse
from support.raw import DEADLINE

LINKTYPE_DBUS = 231
PCAP = (0xA1B2C3D4, 0xA1B23C4D)  # with microseconds and with nanoseconds
PCAPNG = 0x0A0D0D0A
INTERFACE_DESCRIPTION, ENHANCED_PACKET = 1, 6


def read_capture(data: bytes) -> Iterator[Message]:
    """Read all complete messages, in little endian."""
    if len(data) < 24:
        return iter(())
    (magic,) = struct.unpack_from("<I", data)
    assert magic in PCAP or magic == PCAPNG, hex(magic)
    return _read_pcapng(data) if magic == PCAPNG else _read_pcap(data)


def _read_pcap(data: bytes) -> Iterator[Message]:
    assert struct.unpack_from("<I", data, 20) == (LINKTYPE_DBUS,)
    at = 24
    while at + 16 <= len(data):
        captured, size = struct.unpack_from("<8xII", data, at)
        assert captured == size
        at += 16 + size
        if at <= len(data):
            yield parse(data[at - size : at])


def _read_pcapng(data: bytes) -> Iterator[Message]:
    at = 0
    while at + 12 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if at + size > len(data):
            return
        if kind == INTERFACE_DESCRIPTION:
            assert struct.unpack_from("<H", data, at + 8) == (LINKTYPE_DBUS,)
        elif kind == ENHANCED_PACKET:
            captured, original = struct.unpack_from("<II", data, at + 20)
            assert captured == original
            yield parse(data[at + 28 : at + 28 + captured])
        at += size


def wait_for_capture(file: Path, member: str, meanwhile: Callable[[], object]) -> Message:
    """Wait until a growing file contains a message with this member; call ``meanwhile`` repeatedly."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        meanwhile()
        for message in read_capture(file.read_bytes()):
            if message.member == member:
                return message
    raise AssertionError(f"no {member} in {file}")
