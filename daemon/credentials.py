"""Who is at the other end of a socket, as far as the kernel says."""

import os
import pwd
import socket
import struct
from typing import Final

from ..record import Record
from ..transport.relay import at_console as seated
from ..transport.relay import identify

UCRED: Final = struct.Struct("iII")

_PRINTABLE: Final = bytes(0x20 if c == 0 else c if 0x20 <= c < 0x7F else ord("?") for c in range(256))


class Credentials(Record):
    """One process's identity; None, or empty, for what is not known.

    ``gids`` as the kernel gives them, the primary group first; None if they have yet to be looked up.
    ``label`` is that of a security module, without a NUL.
    """

    uid: int | None
    pid: int | None
    gids: tuple[int, ...] | None = ()
    label: bytes = b""
    loginfo: str = ""


def socket_uid(sock: socket.socket) -> int | None:
    """Return the uid that made the connection; None if it comes from another kind of network."""
    if sock.family != socket.AF_UNIX:
        return None
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
    uid: int = UCRED.unpack(credentials)[1]
    return uid


def from_socket(sock: socket.socket, uid: int | None) -> Credentials:
    """Gather what the kernel noted when the connection was made.

    ``uid`` is the identity that was authenticated: None for an anonymous client, of whom only the process is
    kept, and maybe not that of the socket.
    """
    known = identify(sock.fileno())
    if known is None:
        return Credentials(uid, None, None if uid is not None else (), loginfo=_loginfo(uid, None, b"", b""))
    gids: tuple[int, ...] | None = ()
    if uid is not None:
        gids = None
        if uid == known.uid and known.gids is not None:
            gids = tuple(dict.fromkeys((known.gid, *known.gids)))
    loginfo = _loginfo(uid, known.pid, known.command, known.label)
    return Credentials(uid, known.pid, gids, known.label, loginfo)


def look_up_groups(uid: int) -> tuple[int, ...]:
    """Ask the user database for the groups of ``uid``; empty if it doesn't know him.

    This may take as long as a name service on the network takes: never call it in the loop's thread.
    """
    try:
        user = pwd.getpwuid(uid)
        return tuple(dict.fromkeys(os.getgrouplist(user.pw_name, user.pw_gid)))
    except (KeyError, OSError):
        return ()


def with_groups(credentials: Credentials, gids: tuple[int, ...]) -> Credentials:
    """Return the credentials with their groups filled in."""
    return credentials.replace(gids=gids)


def at_console(uid: int | None, users: str = "/run/systemd/users") -> bool:
    """Tell whether ``uid`` is logged in at a seat, by the file that logind keeps of each user.

    Sessions that end already don't count. Where there is no logind nobody is at the console.
    """
    return uid is not None and seated(uid, users)


def _loginfo(uid: int | None, pid: int | None, command: bytes, label: bytes) -> str:
    """Describe the client as the reference's log does: ``uid=0 pid=1 comm="/sbin/init " label="x"``."""
    parts = []
    if uid is not None:
        parts.append(f"uid={uid}")
    if pid is not None:
        parts.append(f'pid={pid} comm="{command.translate(_PRINTABLE).decode("ascii")}"')
    if label:
        parts.append(f'label="{label.decode("utf-8", "replace")}"')
    return " ".join(parts)
