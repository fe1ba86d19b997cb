"""Queries to the data plane, and the calls that cause them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omnibus.daemon.driver import stats
from omnibus.daemon.peers import Peer
from omnibus.transport.relay import EventKind, Table
from support.plane import FakeEvent
from support.wire import unmarshal

from .conftest import Desk

STATS = "org.freedesktop.DBus.Debug.Stats"
ERROR = "org.freedesktop.DBus.Error."


def ask(
    desk: Desk, peer: Peer, member: str, signature: str = "", *args: Any, serial: int = 1
) -> tuple[Any, ...]:
    """Make a call that causes one query; return the query."""
    (question,) = desk.call(peer, member, signature, *args, interface=STATS, serial=serial)
    assert question[0] == "export"
    return question


def answer(desk: Desk, table: Any) -> list[tuple[Any, ...]]:
    body = b"" if table is None else json.dumps(table).encode()
    return desk.happen(FakeEvent(EventKind.EXPORT, body=body))


class TestQueries:
    def test_order(self, desk: Desk) -> None:
        """Results belong to the queries in their order."""
        first, second = desk.attach(), desk.attach()
        assert ask(desk, first, "GetConnectionStats", "s", second.unique_name, serial=5) == (
            "export",
            Table.CONNECTIONS,
            (second.id,),
        )
        assert ask(desk, second, "GetAllMatchRules", serial=6) == ("export", Table.MATCHES, (0, 1))
        error, resume = answer(desk, [])
        assert error[:4] == ("error", first.id, 5, ERROR + "NameHasNoOwner")
        assert resume == ("resume", first.id)
        reply, resume = answer(desk, {":1.0": [], ":1.1": ["type='signal'"]})
        assert reply[:4] == ("reply", second.id, 6, "a{sas}")
        assert unmarshal("a{sas}", reply[4]) == ({":1.0": [], ":1.1": ["type='signal'"]},)
        assert resume == ("resume", second.id)

    def test_connection_lost(self, desk: Desk, peer: Peer) -> None:
        """A connection that is lost between query and result."""
        ask(desk, peer, "GetConnectionStats", "s", peer.unique_name)
        error, _ = answer(desk, [])
        assert error[4] == f"Could not get statistics of name '{peer.unique_name}': no such name"

    def test_no_memory(self, desk: Desk, peer: Peer) -> None:
        ask(desk, peer, "GetStats")
        assert answer(desk, None) == [
            ("error", peer.id, 1, ERROR + "NoMemory", "Not enough memory"),
            ("resume", peer.id),
        ]

    def test_wrong_answer(self, desk: Desk, peer: Peer) -> None:
        """After any failure the caller gets a reply and is resumed, and the log has the error."""
        ask(desk, peer, "GetStats")
        error, resume = answer(desk, {})
        assert error[3] == ERROR + "Failed"
        assert resume == ("resume", peer.id)
        assert "KeyError" in desk.log.lines[-1]


class TestKeepAlive:
    """For the watchdog: any result of the data plane."""

    def test_answer(self, desk: Desk) -> None:
        signs: list[str] = []
        desk.bus.statistics.ping(lambda: signs.append("alive"))
        assert [command[0] for command in desk.plane.batch] == ["export"]
        assert signs == []
        answer(desk, None)
        assert signs == ["alive"]


class TestAllMatchRules:
    """The rules are queried in portions, so that other work is not delayed."""

    def test_portions(self, desk: Desk) -> None:
        peers = [desk.attach() for _ in range(400)]
        peers[3].monitor = True
        desk.attach(hello=False)
        asked = list(ask(desk, peers[0], "GetAllMatchRules")[2])
        portions = [len(asked)]
        expected: dict[str, list[str]] = {}
        table: dict[str, list[str]] = {f":1.{peer}": [] for peer in asked}
        while True:
            expected |= table
            command, *_ = answer(desk, table)
            if command[0] == "reply":
                break
            assert command[:2] == ("export", Table.MATCHES)
            asked += command[2]
            portions.append(len(command[2]))
            # The first connection of each portion has many rules.
            table = {
                f":1.{peer}": [f"arg0='{peer}'"] * (4000 if peer == command[2][0] else 1)
                for peer in command[2]
            }
        assert sorted(asked) == [peer.id for peer in peers if not peer.monitor]
        assert unmarshal("a{sas}", command[4]) == (expected,)
        assert portions[1] > portions[0]
        assert portions[2] < portions[1]

    def test_too_many(self, desk: Desk, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reply too large for a message is an error."""
        monkeypatch.setattr(stats, "MAX_ARRAY", 1000)
        ask(desk, peer, "GetAllMatchRules")
        error, resume = answer(desk, {":1.0": ["arg0='x'"] * 100})
        assert error[3] == ERROR + "LimitsExceeded"
        assert resume == ("resume", peer.id)

    def test_no_rules(self, desk: Desk) -> None:
        """The caller itself is always connected."""
        peer = desk.attach()
        ask(desk, peer, "GetAllMatchRules")
        reply, _ = answer(desk, {})
        assert unmarshal("a{sas}", reply[4]) == ({},)


class TestMonitors:
    def test_become(self, desk: Desk) -> None:
        """Its names go to the queued clients, the earliest requested name first."""
        root, other = desk.attach(), desk.attach()
        root.credentials = root.credentials.replace(privileged=True)
        for name in ("org.one", "org.two"):
            desk.call(root, "RequestName", "su", name, 0)
        desk.call(other, "RequestName", "su", "org.two", 0)
        commands = desk.call(
            root,
            "BecomeMonitor",
            "asu",
            ["member='A'"],
            0,
            interface="org.freedesktop.DBus.Monitoring",
            serial=9,
        )
        assert commands == [
            ("become_monitor", root.id, 9, ("member='A'",)),
            ("leave_queue", "org.one", root.id),
            ("leave_queue", "org.two", root.id),
            ("resume", root.id),
        ]
        assert desk.bus.owner(root.unique_name) is None
        assert desk.bus.owner("org.two") is other
