"""Who is at the other end of a socket, as far as the kernel says."""

import os
import pwd
import socket
import struct
from dataclasses import dataclass, replace
from typing import Final

# Not in the socket module: <asm-generic/socket.h>.
SO_PEERGROUPS: Final = 59
SO_PEERPIDFD: Final = 77

UCRED: Final = struct.Struct("iII")
MAX_COMMAND: Final = 50  # bytes of a command line in the log, as in the reference
MAX_LABEL: Final = 4096

_PRINTABLE: Final = bytes(0x20 if c == 0 else c if 0x20 <= c < 0x7F else ord("?") for c in range(256))


@dataclass(frozen=True, slots=True)
class Credentials:
    """One process's identity; None, or empty, for what is not known.

    ``gids`` as the kernel gives them, the primary group first; None if they have yet to be looked up.
    ``pidfd`` is open as long as the connection. ``label`` is that of a security module, without a NUL.
    """

    uid: int | None
    pid: int | None
    gids: tuple[int, ...] | None = ()
    pidfd: int | None = None
    label: bytes = b""
    loginfo: str = ""

    def close(self) -> None:
        """Close the descriptor of the process."""
        if self.pidfd is not None:
            os.close(self.pidfd)


def socket_uid(sock: socket.socket) -> int | None:
    """Return the uid that made the connection; None if it comes from another kind of network."""
    if sock.family != socket.AF_UNIX:
        return None
    return _peercred(sock)[1]


def from_socket(sock: socket.socket, uid: int | None) -> Credentials:
    """Gather what the kernel noted when the connection was made.

    ``uid`` is the identity that was authenticated: None for an anonymous client, of whom only the process is
    kept, and maybe not that of the socket.
    """
    if sock.family != socket.AF_UNIX:
        return Credentials(uid, None, None if uid is not None else (), loginfo=_loginfo(uid, None, b""))
    pid, peer_uid, peer_gid = _peercred(sock)
    gids: tuple[int, ...] | None = ()
    if uid is not None:
        gids = _groups(sock, peer_gid) if uid == peer_uid else None
    label = _label(sock)
    known_pid = pid if pid > 0 else None
    return Credentials(uid, known_pid, gids, _pidfd(sock), label, _loginfo(uid, known_pid, label))


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
    return replace(credentials, gids=gids)


def at_console(uid: int | None, users: str = "/run/systemd/users") -> bool:
    """Tell whether ``uid`` is logged in at a seat, by the file that logind keeps of each user.

    Sessions that end already don't count. Where there is no logind nobody is at the console.
    """
    if uid is None:
        return False
    try:
        with open(f"{users}/{uid}", encoding="utf-8", errors="replace") as file:
            settings = [line.strip().partition("=") for line in file]
    except OSError:
        return False
    return any(name == "ONLINE_SEATS" and value.strip('" ') for name, _, value in settings)


def _peercred(sock: socket.socket) -> tuple[int, int, int]:
    pid, uid, gid = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    return pid, uid, gid


def _groups(sock: socket.socket, primary: int) -> tuple[int, ...] | None:
    size = 1024
    for _ in range(2):
        try:
            data = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, size)
        except OSError:
            size = 65536 * 4  # NGROUPS_MAX; if it still fails, the kernel is older than 4.13
            continue
        return tuple(dict.fromkeys((primary, *struct.unpack(f"{len(data) // 4}I", data))))
    return None


def _pidfd(sock: socket.socket) -> int | None:
    """Return a descriptor of the process: a luxury that must never keep a client out."""
    try:
        fd = sock.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError:
        return None
    os.set_inheritable(fd, False)
    return fd


def _label(sock: socket.socket) -> bytes:
    try:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERSEC, MAX_LABEL).rstrip(b"\x00")
    except OSError:
        return b""


def _loginfo(uid: int | None, pid: int | None, label: bytes) -> str:
    """Describe the client as the reference's log does: ``uid=0 pid=1 comm="/sbin/init " label="x"``."""
    parts = []
    if uid is not None:
        parts.append(f"uid={uid}")
    if pid is not None:
        parts.append(f'pid={pid} comm="{_command(pid)}"')
    if label:
        parts.append(f'label="{label.decode("utf-8", "replace")}"')
    return " ".join(parts)


def _command(pid: int) -> str:
    """Return the beginning of a process's command line; file objects would cost as much as the reading."""
    try:
        fd = os.open(f"/proc/{pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
        try:
            command = os.read(fd, MAX_COMMAND)
        finally:
            os.close(fd)
    except OSError:
        return ""
    return command.translate(_PRINTABLE).decode("ascii")
