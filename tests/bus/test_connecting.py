"""Connections that use the usual authentication sequence and those that don't are treated alike."""

from __future__ import annotations

import contextlib
import os
import time

import pytest

from support.daemon import Daemon, config
from support.raw import BUS, BusError, Client, Closed, Wire

from .conftest import StartDaemon

OWN = str(os.geteuid()).encode().hex().encode()
# The same identity, by an unusual sequence.
DETOUR = b"\0AUTH\r\nAUTH EXTERNAL " + OWN + b"\r\n"
REST = '<allow send_destination="*"/> <allow eavesdrop="true"/>'
USUAL = b"\0AUTH EXTERNAL " + OWN + b"\r\n"


def begin(daemon: Daemon, said: bytes) -> Wire:
    """Authenticate with the lines of ``said``, without Hello."""
    wire = Wire(daemon.address)
    wire.send_bytes(said)
    while not wire.read_line().startswith(b"OK "):
        pass
    wire.send_bytes(b"BEGIN\r\n")
    return wire


def hears_nothing(wire: Wire) -> bool:
    wire.socket.setblocking(False)
    try:
        wire.socket.recv(1)
    except BlockingIOError:
        return True
    finally:
        wire.socket.settimeout(wire.deadline)
    return False


class TestIncomplete:
    """max_incomplete_connections and auth_timeout apply to every authentication sequence."""

    def test_all_count(self, limited: StartDaemon) -> None:
        daemon = limited(max_incomplete_connections=3)
        established = daemon.connect()
        silent = [begin(daemon, DETOUR), begin(daemon, USUAL), Wire(daemon.address)]
        silent[2].send_bytes(b"\0AUTH\r\n")
        assert silent[2].read_line().startswith(b"REJECTED")
        for wire in silent:
            waiting = Wire(daemon.address)
            waiting.send_bytes(USUAL)
            established.driver("GetId")
            assert hears_nothing(waiting)
            wire.close()
            assert waiting.read_line().startswith(b"OK ")
            silent.append(waiting)
            if len(silent) == 6:
                break
        for wire in silent:
            wire.close()

    @pytest.mark.parametrize("said", [DETOUR, USUAL])
    def test_time_counts_from_the_beginning(self, limited: StartDaemon, said: bytes) -> None:
        """The time includes authentication and lasts until Hello."""
        daemon = limited(auth_timeout=400)
        began = time.monotonic()
        wire = begin(daemon, said)
        with pytest.raises(Closed):
            while True:
                wire.fill(time.monotonic() + wire.deadline)
        assert 0.3 < time.monotonic() - began < wire.deadline
        wire.close()


class TestCounting:
    """max_connections_per_user, max_completed_connections: closed connections do not count."""

    @pytest.mark.parametrize("limit", ["max_connections_per_user", "max_completed_connections"])
    def test_after_disconnects(self, limited: StartDaemon, limit: str) -> None:
        daemon = limited(**{limit: 2})
        watcher = daemon.connect()
        watcher.match("member='NameOwnerChanged'")
        for _ in range(70):
            client = daemon.connect()
            client.close()
            while watcher.expect(member="NameOwnerChanged").body[2]:
                pass
        client, third = daemon.connect(), daemon.connect(hello=False)
        with pytest.raises(BusError):
            third.driver("Hello")
        assert client.driver("NameHasOwner", "s", watcher.unique)

    def test_credentials_are_available_at_once(self, bus: Daemon, client: Client) -> None:
        """The control plane knows the credentials of a connection as soon as the connection exists."""
        for _ in range(20):
            other = bus.connect()
            credentials = client.driver("GetConnectionCredentials", "s", other.unique)
            assert credentials["ProcessID"].value == os.getpid()
            assert client.driver("ListQueuedOwners", "s", other.unique) == [other.unique]
            other.close()
            while client.driver("NameHasOwner", "s", other.unique):
                pass
            with pytest.raises(BusError):
                client.driver("GetConnectionCredentials", "s", other.unique)


class HandedUp(Client):
    """A client that says what the data plane hands up: EXTERNAL without an initial response."""

    def authenticate(self, uid: int, unix_fds: bool) -> str:
        self.send_bytes(b"\0AUTH EXTERNAL\r\n")
        assert self.read_line() == b"DATA"
        self.send_bytes(b"DATA\r\n")
        answer = self.read_line()
        self.send_bytes(b"BEGIN\r\n")
        return answer[3:].decode()


class TestUniqueNames:
    """Specification, "Message Bus Names": the bus assigns the unique name, which is never reused."""

    def test_numbers_are_consecutive(self, start_daemon: StartDaemon) -> None:
        """However a connection authenticates, it has the number after that of the connection before."""
        daemon = start_daemon()
        uniques = []
        for kind in (Client, HandedUp, HandedUp, Client):
            with contextlib.closing(kind(daemon.address)) as client:
                uniques.append(client.unique)
        first = int(uniques[0].removeprefix(":1."))
        assert uniques == [f":1.{number}" for number in range(first, first + 4)]


class TestPolicy:
    """<allow user>, <deny user>: which users may connect, with any authentication sequence."""

    @pytest.mark.parametrize("said", [DETOUR, USUAL])
    @pytest.mark.parametrize("rule", ['<deny user="*"/>', f'<allow user="*"/><deny user="{os.geteuid()}"/>'])
    def test_denied(self, start_daemon: StartDaemon, said: bytes, rule: str) -> None:
        policy = f'<policy context="default">{rule}{REST}</policy>'
        daemon = start_daemon(config("unix:path={dir}/bus", policy=policy))
        wire = begin(daemon, said)
        wire.expect_closed()
        wire.close()

    def test_mandatory(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """Rules in the mandatory context are applied last."""
        policy = (
            f'<policy context="mandatory"><deny user="{unprivileged}"/></policy>'
            f'<policy context="default"><allow user="*"/>{REST}</policy>'
        )
        daemon = start_daemon(config("unix:path={dir}/bus", policy=policy))
        assert daemon.connect().unique
        with pytest.raises(Closed):
            daemon.connect(uid=unprivileged)

    def test_reload(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """New rules apply from the moment of the reload."""
        allowed = f'<policy context="default"><allow user="*"/>{REST}</policy>'
        daemon = start_daemon(config("unix:path={dir}/bus", policy=allowed))
        client = daemon.connect()
        assert daemon.connect(uid=unprivileged).unique
        denied = allowed.replace("</policy>", f'<deny user="{unprivileged}"/></policy>')
        file = daemon.directory / "bus.conf"
        file.write_text(file.read_text().replace(allowed, denied))
        client.driver("ReloadConfig")
        with pytest.raises(Closed):
            daemon.connect(uid=unprivileged)
        assert client.driver("NameHasOwner", "s", BUS)
