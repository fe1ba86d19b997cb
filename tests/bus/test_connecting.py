"""Connections that keep to the usual script, and those that don't, are the same to everybody."""

from __future__ import annotations

import os
import time

import pytest

from support.daemon import Daemon, config
from support.raw import BUS, BusError, Client, Closed, Wire

from .conftest import StartDaemon

OWN = str(os.geteuid()).encode().hex().encode()
# The same identity, with a detour.
DETOUR = b"\0AUTH\r\nAUTH EXTERNAL " + OWN + b"\r\n"
REST = '<allow send_destination="*"/> <allow eavesdrop="true"/>'
USUAL = b"\0AUTH EXTERNAL " + OWN + b"\r\n"


def begin(daemon: Daemon, said: bytes) -> Wire:
    """Authenticate in the words of ``said``, and say no Hello."""
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
    """max_incomplete_connections and auth_timeout: however somebody authenticates."""

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
        """And it counts until Hello."""
        daemon = limited(auth_timeout=400)
        began = time.monotonic()
        wire = begin(daemon, said)
        with pytest.raises(Closed):
            while True:
                wire.fill(time.monotonic() + wire.deadline)
        assert 0.3 < time.monotonic() - began < wire.deadline
        wire.close()


class TestCounting:
    """max_connections_per_user, max_completed_connections: nobody counts who has gone."""

    @pytest.mark.parametrize("limit", ["max_connections_per_user", "max_completed_connections"])
    def test_come_and_gone(self, limited: StartDaemon, limit: str) -> None:
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

    def test_it_may_be_asked_for_at_once(self, bus: Daemon, client: Client) -> None:
        """What only the control plane can say of a connection, it can say as soon as that is there."""
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


class TestPolicy:
    """<allow user>, <deny user>: who may connect, however he authenticates."""

    @pytest.mark.parametrize("said", [DETOUR, USUAL])
    @pytest.mark.parametrize("rule", ['<deny user="*"/>', f'<allow user="*"/><deny user="{os.geteuid()}"/>'])
    def test_denied(self, start_daemon: StartDaemon, said: bytes, rule: str) -> None:
        policy = f'<policy context="default">{rule}{REST}</policy>'
        daemon = start_daemon(config("unix:path={dir}/bus", policy=policy))
        wire = begin(daemon, said)
        wire.expect_closed()
        wire.close()

    def test_mandatory(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """What stands in the mandatory context comes last."""
        policy = (
            f'<policy context="mandatory"><deny user="{unprivileged}"/></policy>'
            f'<policy context="default"><allow user="*"/>{REST}</policy>'
        )
        daemon = start_daemon(config("unix:path={dir}/bus", policy=policy))
        assert daemon.connect().unique
        with pytest.raises(Closed):
            daemon.connect(uid=unprivileged)

    def test_reload(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """It holds from the moment in which it is reloaded."""
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
