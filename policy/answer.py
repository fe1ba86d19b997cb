"""What a process that reads the configuration answers: bytes, by one omnibus for the same omnibus.

Reading again runs the code that is on disk by then. A package manager may have replaced it under the running
bus, by code whose settings have other fields or whose rules lie in another layout. So an answer begins with a
line that says what made it, and nothing behind another line than one's own is looked at.
"""

from __future__ import annotations

import marshal
from binascii import crc32
from typing import Any

from .. import __version__

FORMAT = 1
"""Of the line; in all versions it is MARK, a format, a version, and in this format the layout."""
MARK = b"omnibus-configuration"


class OtherCode(Exception):
    """The answer is that of another omnibus; the text says which, and what to do."""


def encode(plain: dict[str, Any]) -> bytes:
    """Return the answer that holds what marshal takes."""
    return _line() + marshal.dumps(plain)


def decode(data: bytes) -> dict[str, Any]:
    """Return what encode() was given; raises OtherCode, or ValueError: no whole answer."""
    line, end, rest = data.partition(b"\n")
    if line + end != _line():
        if not end:
            raise ValueError("an answer without a beginning")
        words = line.split()
        theirs = words[2].decode("ascii", "replace") if len(words) > 2 and words[0] == MARK else "unknown"
        raise OtherCode(
            f"The installed omnibus is another one (version {theirs}) than the one that runs "
            f"(version {__version__}): restart the bus, with a system bus the machine"
        )
    try:
        return dict(marshal.loads(rest))
    except (EOFError, TypeError) as error:
        raise ValueError("an answer without an end") from error


def _line() -> bytes:
    return MARK + f" {FORMAT} {__version__} {_layout():08x}\n".encode()


def _layout() -> int:
    """Return a number that stands for the fields of the settings and the layout of the rules."""
    from .rules import HEADER, MAGIC, RECORD, Context, Flag, Kind
    from .settings import ConfigWarning, Limits, Multicast, ServiceDir, Settings

    records = (Settings, Limits, ServiceDir, ConfigWarning, Multicast)
    block = (MAGIC, HEADER.format, RECORD.format, list(Kind), list(Context), list(Flag))
    return crc32(repr((*(one.fields for one in records), block)).encode())
