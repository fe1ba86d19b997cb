"""The answer of a process that reads the configuration: bytes for an omnibus of the same version.

A reload runs the code that is on disk by then. A package manager may have replaced it under the running bus,
with other fields in the settings or another layout of the rules. So an answer begins with a line that
identifies the code that wrote it, and an answer that begins with another line is not parsed.
"""

from __future__ import annotations

import marshal
from binascii import crc32
from typing import Any

from .. import __version__

FORMAT = 1
"""The format of the first line: MARK, a format and a version in all formats, and the layout in this one."""
MARK = b"omnibus-configuration"


class OtherCode(Exception):
    """The answer is from another version; the text says which, and what to do."""


def encode(plain: dict[str, Any]) -> bytes:
    """Return the answer for a dictionary that marshal can write."""
    return _line() + marshal.dumps(plain)


def decode(data: bytes) -> dict[str, Any]:
    """Return the dictionary of an answer; raises OtherCode, or ValueError if the answer is incomplete."""
    line, end, rest = data.partition(b"\n")
    if line + end != _line():
        if not end:
            raise ValueError("an answer without a beginning")
        words = line.split()
        theirs = words[2].decode("ascii", "replace") if len(words) > 2 and words[0] == MARK else "unknown"
        raise OtherCode(
            f"The installed omnibus is another one (version {theirs}) than the one that runs "
            f"(version {__version__}): run omnibusctl upgrade, or restart the bus, "
            "with a system bus the machine"
        )
    try:
        return dict(marshal.loads(rest))
    except (EOFError, TypeError) as error:
        raise ValueError("an answer without an end") from error


def _line() -> bytes:
    return MARK + f" {FORMAT} {__version__} {_layout():08x}\n".encode()


def _layout() -> int:
    """Return a checksum of the fields of the settings and the layout of the rules."""
    from .rules import HEADER, MAGIC, RECORD, Context, Flag, Kind
    from .settings import ConfigWarning, Limits, Multicast, ServiceDir, Settings

    records = (Settings, Limits, ServiceDir, ConfigWarning, Multicast)
    block = (MAGIC, HEADER.format, RECORD.format, list(Kind), list(Context), list(Flag))
    return crc32(repr((*(one.fields for one in records), block)).encode())
