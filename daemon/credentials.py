"""The credentials of the process at the other end of a socket, as the kernel knows them."""

import os
import pwd
import socket
import struct
from typing import Final

from ..transport.relay import Credentials, identify
from ..transport.relay import at_console as seated

UCRED: Final = struct.Struct("iII")

_PRINTABLE: Final = bytes(0x20 if c == 0 else c if 0x20 <= c < 0x7F else ord("?") for c in range(256))


def socket_uid(sock: socket.socket) -> int | None:
    """Return the uid that made the connection; None for other than Unix sockets."""
    if sock.family != socket.AF_UNIX:
        return None
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
    uid: int = UCRED.unpack(credentials)[1]
    return uid


def from_socket(sock: socket.socket, uid: int | None) -> Credentials:
    """Return the credentials that the kernel recorded when the connection was made.

    ``uid`` is the authenticated identity, which may differ from the socket's; None for an anonymous client,
    of which only the pid is kept.
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
    return Credentials(uid, known.pid, gids, loginfo=loginfo, label=known.label)


def look_up_groups(uid: int) -> tuple[int, ...]:
    """Look up the groups of ``uid`` in the user database; empty for an unknown uid.

    This may wait for a name service on the network: never call it in the loop's thread.
    """
    try:
        user = pwd.getpwuid(uid)
        return tuple(dict.fromkeys(os.getgrouplist(user.pw_name, user.pw_gid)))
    except (KeyError, OSError):
        return ()


def at_console(uid: int | None, users: str = "/run/systemd/users") -> bool:
    """Return True if ``uid`` is logged in at a seat, according to logind's file for that user.

    Sessions that are closing don't count. Without logind no user is at the console.
    """
    return uid is not None and seated(uid, users)


def _loginfo(uid: int | None, pid: int | None, command: bytes, label: bytes) -> str:
    """Describe the client as the reference's log does: ``uid=0 pid=1 comm="/sbin/init" label="x"``."""
    parts = []
    if uid is not None:
        parts.append(f"uid={uid}")
    if pid is not None:
        parts.append(f'pid={pid} comm="{command.translate(_PRINTABLE).decode("ascii")}"')
    if label:
        parts.append(f'label="{label.decode("utf-8", "replace")}"')
    return " ".join(parts)
