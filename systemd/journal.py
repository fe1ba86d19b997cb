"""Streams to the journal (sd_journal_stream_fd(3)), for the output of programs."""

from __future__ import annotations

import socket

SOCKET = "/run/systemd/journal/stdout"


def open_stream(identifier: str, level: int, path: str = SOCKET) -> int | None:
    """Return a descriptor whose lines the journal notes under this name, with syslog's level.

    None if there is no journal, or it has no room: this never waits.
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
