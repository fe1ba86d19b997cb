"""Users and groups in configuration files, by name or by number."""

from __future__ import annotations

import grp
import pwd
import re

# A text that C's strtoul with base 0 consumes completely.
_NUMBER = r"\s*\+?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)"


def _number(text: str) -> int | None:
    if not re.fullmatch(_NUMBER, text):
        return None
    digits = text.strip().lstrip("+")
    is_octal = len(digits) > 1 and digits.isdigit() and digits[0] == "0"
    return int(digits, 8 if is_octal else 0)


def user_id(text: str) -> int | None:
    """Return the uid of a user, or None if the system knows no such user.

    A number without a user is unknown, too: dbus-daemon ignores rules about it.
    """
    number = _number(text)
    try:
        return pwd.getpwnam(text).pw_uid if number is None else pwd.getpwuid(number).pw_uid
    except (KeyError, OverflowError, ValueError):
        return None


def group_id(text: str) -> int | None:
    """Return the gid of a group, or None if the system knows no such group."""
    number = _number(text)
    try:
        return grp.getgrnam(text).gr_gid if number is None else grp.getgrgid(number).gr_gid
    except (KeyError, OverflowError, ValueError):
        return None
