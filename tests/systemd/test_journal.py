"""Journal entries in the format of https://systemd.io/JOURNAL_NATIVE_PROTOCOL/."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnibus.systemd.journal import Journal


class Journald:
    """The journal's socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def receive(self) -> bytes:
        return self.socket.recv(1 << 16)


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    found = Journald(tmp_path / "socket")
    yield found
    found.socket.close()


@pytest.fixture
def journal(journald: Journald) -> Iterator[Journal]:
    found = Journal(str(journald.path))
    yield found
    found.close()


def test_entry(journald: Journald, journal: Journal) -> None:
    assert journal.send({"MESSAGE": "text=x \udcff", "PRIORITY": 6})
    assert journald.receive() == b"MESSAGE=text=x \xff\nPRIORITY=6\n"


def test_several_lines(journald: Journald, journal: Journal) -> None:
    """A value with a newline is sent with its size, so that no fields can be injected."""
    assert journal.send({"MESSAGE": "a\nPRIORITY=0", "PRIORITY": 6})
    assert journald.receive() == b"MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\nPRIORITY=6\n"


def test_large(journald: Journald, journal: Journal) -> None:
    """An entry too large for a datagram is sent as a sealed memory file, in a datagram without data."""
    assert journal.send({"MESSAGE": "x" * 1_000_000})
    data, (fd,), _, _ = socket.recv_fds(journald.socket, 1, 2)
    with open(fd, "rb") as file:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        file.seek(0)
        assert file.read() == b"MESSAGE=" + b"x" * 1_000_000 + b"\n"
    assert data == b""
    assert seals == fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def test_large_without_memory_file(
    journald: Journald, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without memory files the entry is lost; the next one is not."""

    def fail(*_: object) -> int:
        raise OSError(errno.ENFILE, "Too many open files in system")

    monkeypatch.setattr(os, "memfd_create", fail)
    assert not journal.send({"MESSAGE": "x" * 1_000_000})
    assert journal.send({"MESSAGE": "x"})
    assert journald.receive() == b"MESSAGE=x\n"


def test_full_socket(journal: Journal) -> None:
    """An entry for a full socket is dropped without waiting."""
    sent = 0
    while journal.send({"MESSAGE": "x" * 1000}):
        sent += 1
        assert sent < 100_000


def test_started_again(journald: Journald, journal: Journal) -> None:
    journald.socket.close()
    assert not journal.send({"MESSAGE": "lost"})
    journald.path.unlink()
    again = Journald(journald.path)
    assert journal.send({"MESSAGE": "x"})
    assert again.receive() == b"MESSAGE=x\n"
    again.socket.close()


def test_no_journal(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No such file"):
        Journal(str(tmp_path / "none"))
    assert len(os.listdir("/proc/self/fd")) == before
