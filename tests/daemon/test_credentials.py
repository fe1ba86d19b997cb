"""Credentials of the peer of a socket."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnibus.daemon.credentials import at_console, from_socket, look_up_groups, socket_uid
from support.retries import USERS, retry_on_changes_of


@pytest.fixture
def pair() -> Iterator[socket.socket]:
    """A socket with this process at both ends."""
    ours, theirs = socket.socketpair()
    yield ours
    ours.close()
    theirs.close()


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        ours, _ = server.accept()
        with ours:
            yield ours


class TestUnixSocket:
    def test_uid(self, pair: socket.socket) -> None:
        assert socket_uid(pair) == os.geteuid()

    def test_all(self, pair: socket.socket) -> None:
        known = from_socket(pair, os.geteuid())
        assert (known.uid, known.pid) == (os.geteuid(), os.getpid())
        assert known.gids is not None
        assert known.gids[0] == os.getegid()
        assert set(known.gids) == {os.getegid(), *os.getgroups()}

    def test_loginfo(self, pair: socket.socket) -> None:
        """In the reference's format: 50 bytes of the command line at most, blanks for the NULs within it."""
        known = from_socket(pair, os.geteuid())
        shown = Path("/proc/self/cmdline").read_bytes()[:50].removesuffix(b"\0")
        command = shown.replace(b"\0", b" ").decode()
        assert known.loginfo.startswith(f'uid={os.geteuid()} pid={os.getpid()} comm="{command}"')
        assert sys.executable[:10] in known.loginfo

    def test_other_identity(self, pair: socket.socket) -> None:
        """The groups of an authenticated identity other than the socket's are looked up."""
        known = from_socket(pair, os.geteuid() + 1)
        assert (known.uid, known.gids) == (os.geteuid() + 1, None)

    def test_anonymous(self, pair: socket.socket) -> None:
        known = from_socket(pair, None)
        assert (known.uid, known.pid, known.gids) == (None, os.getpid(), ())
        assert known.loginfo.startswith(f"pid={os.getpid()} ")


class TestTcp:
    def test_nothing_is_known(self, tcp: socket.socket) -> None:
        assert socket_uid(tcp) is None
        known = from_socket(tcp, 7)
        assert (known.uid, known.pid, known.gids, known.loginfo) == (7, None, None, "uid=7")
        assert from_socket(tcp, None).gids == ()


class TestGroups:
    @retry_on_changes_of(*USERS)
    def test_known_user(self) -> None:
        me = pwd.getpwuid(os.geteuid())
        groups = look_up_groups(me.pw_uid)
        assert groups[0] == me.pw_gid
        assert set(groups) == set(os.getgrouplist(me.pw_name, me.pw_gid))

    def test_unknown_user(self) -> None:
        assert look_up_groups(0x7FFF_FFF0) == ()


class TestConsole:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("NAME=a\nONLINE_SEATS=seat0\n", True),
            ('ONLINE_SEATS="seat0 seat1"', True),
            (" ONLINE_SEATS=seat0\n", True),
            ("ONLINE_SEATS=\n", False),
            ('ONLINE_SEATS=""\n', False),
            ("ONLINE_SEATS= \n", False),
            ("NAME=a\nSEATS=seat0\nACTIVE_SEATS=seat0\n", False),
            ("", False),
        ],
    )
    def test_seat(self, tmp_path: Path, text: str, expected: bool) -> None:
        (tmp_path / "7").write_text(text)
        assert at_console(7, str(tmp_path)) is expected

    @pytest.mark.parametrize("uid", [None, 8])
    def test_not_at_console(self, tmp_path: Path, uid: int | None) -> None:
        assert not at_console(uid, str(tmp_path))
