"""A socket in whose queue descriptors wait for another process: one descriptor in place of all of them.

The service manager keeps one for the time between two processes of a unit. It compares each descriptor that
it gets with all that it has, which is half a million comparisons for a thousand of them.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Sequence
from typing import Final

MAX_FDS: Final = 253  # a message has: SCM_MAX_FD of the kernel
MARK: Final = b"\0"  # a message without data would look like the end


def fill(fds: Sequence[int]) -> socket.socket:
    """Return a socket with these descriptors, the first one in a message of its own; raises OSError."""
    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with writing:
        try:
            writing.setblocking(False)
            parts = [fds[:1], *(fds[at : at + MAX_FDS] for at in range(1, len(fds), MAX_FDS))]
            for part in parts:
                socket.send_fds(writing, [MARK], part)
        except OSError:
            reading.close()
            raise
    return reading


def take(sock: socket.socket) -> list[int]:
    """Return the descriptors of the next message, which the caller owns; none at the end. Raises OSError."""
    room = socket.CMSG_LEN(MAX_FDS * array.array("i").itemsize)
    how = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
    try:
        _, messages, flags, _ = sock.recvmsg(len(MARK), room, how)
    except BlockingIOError:
        return []
    fds = array.array("i")
    for level, kind, data in messages:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if flags & socket.MSG_CTRUNC:
        close(fds)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return list(fds)


def take_rest(sock: socket.socket) -> list[int]:
    """Return all descriptors that are left, which the caller owns; raises OSError."""
    found: list[int] = []
    try:
        while fds := take(sock):
            found += fds
    except OSError:
        close(found)
        raise
    return found


def close(fds: Sequence[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)
