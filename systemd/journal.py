"""The journal: streams for programs' output (sd_journal_stream_fd(3)), and entries with fields."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from array import array
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/stdout"
ENTRIES = "/run/systemd/journal/socket"
TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def open_stream(identifier: str, level: int, path: str = SOCKET) -> int | None:
    """Return a descriptor for lines that the journal logs under this identifier, at this syslog level.

    None if there is no journal, or it has no room: this never blocks.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.setblocking(False)
        stream.connect(path)
        stream.shutdown(socket.SHUT_RD)
        # Identifier, unit, level, whether lines begin with levels; forward to syslog, kmsg, console.
        stream.sendall(f"{identifier}\n\n{level}\n0\n0\n0\n0\n".encode())
        stream.setblocking(True)
    except OSError:
        stream.close()
        return None
    return stream.detach()


class Journal:
    """A client of the journal for entries (sd_journal_sendv(3)). No method blocks.

    Raises OSError if there is no journal.
    """

    def __init__(self, path: str = ENTRIES) -> None:
        self._path = path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as trial:
            trial.connect(path)
        # Not connected, so that a restarted journal is found.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, fields: Mapping[str, str | int]) -> bool:
        """Send one entry; return False if it is lost because the journal is gone or has no room."""
        data = b"".join(_encode(name, str(value)) for name, value in fields.items())
        try:
            try:
                self._socket.sendto(data, self._path)
            except OSError as error:
                if error.errno not in TOO_LARGE:
                    raise
                self._send_file(data)
        except OSError:
            return False
        return True

    def _send_file(self, data: bytes) -> None:
        """Send an entry too large for a datagram as a sealed memory file."""
        fd = os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))
            self._socket.sendmsg([], [rights], 0, self._path)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _encode(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "surrogateescape")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
