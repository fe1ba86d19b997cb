"""The machine's id (specification: "GetMachineId")."""

import errno
import os
import re
import stat
from collections.abc import Sequence
from typing import Final

from . import errors
from .errors import DBusError

PLACES: Final = ("/var/lib/dbus/machine-id", "/etc/machine-id")
DIGITS: Final = 32
MAX_SIZE: Final = 4096  # bytes; a longer file has no valid id
WHITE: Final = b" \t\n\v\f\r"
ADVICE: Final = (
    "D-Bus library appears to be incorrectly set up:"
    " see the manual page for dbus-uuidgen to correct this issue."
)


def read_machine_id(places: Sequence[str] = PLACES) -> str:
    """Return the 32 lower-case hexadecimal digits of the first valid file.

    Raises DBusError with the error name of the last file and the reasons of all.
    """
    reasons = []
    name = errors.FAILED
    for place in places:
        try:
            return _read(place)
        except DBusError as error:
            name = error.name
            reasons.append(error.text)
    raise DBusError(name, f"{ADVICE} ({'; '.join(reasons)})")


def _read(place: str) -> str:
    text = _contents(place).strip(WHITE)
    if len(text) != DIGITS:
        raise DBusError(
            errors.INVALID_FILE_CONTENT,
            f"UUID file '{place}' should contain a hex string of length {DIGITS}, not length {len(text)},"
            " with no other text",
        )
    if not re.fullmatch(b"[0-9A-Fa-f]*", text):
        raise DBusError(errors.INVALID_FILE_CONTENT, f"UUID file '{place}' contains invalid hex data")
    return text.decode().lower()


def _contents(place: str) -> bytes:
    try:
        # O_NONBLOCK: a FIFO must not block.
        fd = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        name = errors.FAILED
        if error.errno == errno.ENOENT:
            name = errors.FILE_NOT_FOUND
        elif error.errno in (errno.EACCES, errno.EPERM):
            name = errors.ACCESS_DENIED
        raise DBusError(name, f'Failed to open "{place}": {error.strerror}') from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise DBusError(errors.FAILED, f'"{place}" is not a regular file')
        return os.read(fd, MAX_SIZE)
    except OSError as error:
        raise DBusError(errors.FAILED, f'Error reading "{place}": {error.strerror}') from error
    finally:
        os.close(fd)
