"""The memfd with the state: what is written can't be changed any more, and is believed for that reason
only."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Final

from ...transport.relay.state import StateError

NAME: Final = "omnibus-state"
LINK: Final = f"/memfd:{NAME}"
SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
MFD_NOEXEC_SEAL: Final = 8  # Linux 6.3


def make() -> int:
    """Return an empty memfd that can be sealed; raises OSError."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(NAME, flags | MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return os.memfd_create(NAME, flags)


def seal(fd: int) -> None:
    """Seal it against every change; raises OSError."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)


def check(fd: int, owner: int) -> None:
    """Raise StateError unless ``fd`` is a memfd that root or ``owner`` has made, sealed."""
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        link = os.readlink(f"/proc/self/fd/{fd}")
        uid = os.fstat(fd).st_uid
    except OSError as error:
        raise StateError(f"descriptor {fd} is no state: {error.strerror}") from error
    if seals & SEALS != SEALS:
        raise StateError(f"descriptor {fd} is no state: it is not sealed")
    if link.removesuffix(" (deleted)") != LINK:
        raise StateError(f"descriptor {fd} is no state: it leads to {link}")
    if uid not in (0, owner):
        raise StateError(f"descriptor {fd} is no state of ours: it belongs to uid {uid}")
