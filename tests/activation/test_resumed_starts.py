"""Starts of services that go on in another program: they are joined, and nothing is begun twice."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnibus.daemon.upgrade.starts import dump_starts, restore_starts
from omnibus.policy.settings import Limits
from omnibus.transport.relay.state import StateError
from support.plane import FakeEvent

from .conftest import Desk

NAME = "org.example.Service"
MANAGER = "org.freedesktop.systemd1"
FAILED = "org.freedesktop.DBus.Error.Spawn.ChildExited"


class Upgraded:
    """A bus, and the one that takes over its starts; peers have the same ids in both."""

    def __init__(self, make: Callable[[], Desk]) -> None:
        self.make = make
        self.old = make()
        self.old.service(NAME)
        self.peers = [self.old.attach() for _ in range(3)]

    def upgrade(self) -> Desk:
        states = dump_starts(self.old.bus.activation)
        new = self.make()
        new.tools.time = self.old.tools.time
        for _ in self.peers:
            new.attach()
        restore_starts(new.bus.activation, new.plane, new.bus.peers, states)
        new.plane.commit()
        assert dump_starts(new.bus.activation) == states
        return new


@pytest.fixture
def upgraded(tmp_path: Path) -> Upgraded:
    return Upgraded(lambda: Desk(tmp_path))


class TestWaiters:
    def test_a_call_is_answered(self, upgraded: Upgraded) -> None:
        caller, service, _ = upgraded.peers
        upgraded.old.call(caller, "StartServiceByName", "su", NAME, 0, serial=5)
        new = upgraded.upgrade()
        assert new.plane.awaited == {NAME}
        assert new.plane.starts == 1
        commands = new.own(new.bus.peers[service.id], NAME)
        assert ("reply", caller.id, 5, "u", b"\1\0\0\0") in commands
        assert ("resume", caller.id) not in commands
        assert new.plane.awaited == set()
        assert new.plane.starts == 0

    def test_a_parked_message_joins(self, upgraded: Upgraded) -> None:
        """The data plane hands it up again; no second program is started."""
        sender, service, _ = upgraded.peers
        upgraded.old.park(sender, NAME)
        assert len(upgraded.old.tools.children) == 1
        new = upgraded.upgrade()
        new.park(new.bus.peers[sender.id], NAME)
        assert [child.program for child in new.tools.children] == [None]
        assert new.plane.starts == 1
        assert ("deliver", 1) in new.own(new.bus.peers[service.id], NAME)

    def test_one_that_is_gone_is_not_answered(self, upgraded: Upgraded) -> None:
        caller, service, _ = upgraded.peers
        upgraded.old.call(caller, "StartServiceByName", "su", NAME, 0)
        new = upgraded.upgrade()
        new.bus.activation.gone(new.bus.peers[caller.id])
        new.bus.peers.remove(new.bus.peers[caller.id])
        new.take()
        assert new.plane.starts == 0
        assert not any(one[1] == caller.id for one in new.own(new.bus.peers[service.id], NAME))

    def test_a_start_that_is_looked_up_begins_anew(self, upgraded: Upgraded) -> None:
        """Nothing was begun, and the data plane still has what waits."""
        upgraded.old.park(upgraded.peers[0], "org.example.Other", read=False)
        assert dump_starts(upgraded.old.bus.activation) == ()


class TestEnd:
    def test_deadline(self, upgraded: Upgraded) -> None:
        """The time-out counts from the beginning of the start."""
        caller = upgraded.peers[0]
        upgraded.old.call(caller, "StartServiceByName", "su", NAME, 0, serial=5)
        upgraded.old.tools.time += 10
        new = upgraded.upgrade()
        assert new.tools.timers[-1].seconds == 15
        new.tools.pass_time()
        assert new.take()[0][:4] == ("error", caller.id, 5, "org.freedesktop.DBus.Error.TimedOut")
        assert new.child.killed

    def test_failure_of_the_program(self, upgraded: Upgraded) -> None:
        caller = upgraded.peers[0]
        upgraded.old.call(caller, "StartServiceByName", "su", NAME, 0, serial=5)
        new = upgraded.upgrade()
        assert new.child.pid == upgraded.old.child.pid
        new.child.ended(256)
        assert new.take()[0][:4] == ("error", caller.id, 5, FAILED)

    def test_a_child_that_is_unknown(self, upgraded: Upgraded) -> None:
        """Without the process there is nothing to continue."""
        caller = upgraded.peers[0]
        upgraded.old.call(caller, "StartServiceByName", "su", NAME, 0, serial=5)
        states = dump_starts(upgraded.old.bus.activation)
        new = upgraded.make()
        new.tools.error = OSError(errno.ESRCH, "No such process")
        restore_starts(new.bus.activation, new.plane, new.bus.peers, states)
        assert new.take()[0][:4] == ("error", caller.id, 5, "org.freedesktop.DBus.Error.Failed")
        assert dump_starts(new.bus.activation) == ()


class TestSystemd:
    @pytest.fixture
    def upgraded(self, tmp_path: Path) -> Upgraded:
        found = Upgraded(lambda: Desk(tmp_path, systemd_activation=True, limits=Limits()))
        found.old.service(NAME, SystemdService="a.service")
        return found

    def test_a_request_that_waits_for_systemd(self, upgraded: Upgraded) -> None:
        """Monitors have seen it; systemd gets it once it is connected, and its unit is watched."""
        caller, manager, service = upgraded.peers
        upgraded.old.call(caller, "StartServiceByName", "su", NAME, 0, serial=5)
        assert upgraded.old.plane.shown == ["ActivationRequest"]
        new = upgraded.upgrade()
        commands = new.own(new.bus.peers[manager.id], MANAGER)
        assert [one[5] for one in commands if one[0] == "send"] == ["ActivationRequest"]
        assert new.plane.shown == []
        assert ("reply", caller.id, 5, "u", b"\1\0\0\0") in new.own(new.bus.peers[service.id], NAME)

    def test_a_program_that_waits_for_systemd(self, upgraded: Upgraded) -> None:
        """It is started once, and watched."""
        upgraded.old.service(NAME)
        caller, manager, service = upgraded.peers
        upgraded.old.call(caller, "StartServiceByName", "su", NAME, 0, serial=5)
        new = upgraded.upgrade()
        assert new.tools.children == []
        commands = new.own(new.bus.peers[manager.id], MANAGER)
        assert [one[5] for one in commands if one[0] == "send"] == ["StartTransientUnit"]
        commands = new.own(new.bus.peers[service.id], NAME)
        assert ("reply", caller.id, 5, "u", b"\1\0\0\0") in commands
        assert [one[5] for one in commands if one[0] == "send"] == ["StopUnit"]

    def test_a_program_that_systemd_runs(self, upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is not started again; its unit is watched, and given up in the end."""
        monkeypatch.setattr("omnibus.daemon.activation.systemd.is_systemd", lambda peer: peer is not None)
        upgraded.old.service(NAME)
        caller, manager, _ = upgraded.peers
        upgraded.old.own(manager, MANAGER)
        upgraded.old.call(caller, "StartServiceByName", "su", NAME, 0, serial=5)
        (watch,) = upgraded.old.bus.activation.units.watched
        new = upgraded.upgrade()
        new.own(new.bus.peers[manager.id], MANAGER)
        new.bus.activation.units.restore(7, [watch])
        new.tools.pass_time()
        assert [one[5] for one in new.take() if one[0] == "send"] == ["Get"]
        new.tools.pass_time(new.tools.timers[0])
        assert [one[5] for one in new.take() if one[0] == "send"] == ["KillUnit", "StopUnit"]

    def test_a_variable_that_waits_for_systemd(self, upgraded: Upgraded) -> None:
        root, manager, _ = (upgraded.old.attach(0), *upgraded.peers[1:])
        upgraded.old.call(root, "UpdateActivationEnvironment", "a{ss}", {"A": "b"})
        new = upgraded.upgrade()
        commands = new.own(new.bus.peers[manager.id], MANAGER)
        assert [one[5] for one in commands if one[0] == "send"] == ["SetEnvironment"]

    @pytest.mark.parametrize(
        "changes, text",
        [({"audience": 4}, "audience"), ({"audience": 0}, "audience"), ({"body": b"\1"}, "body")],
    )
    def test_invalid_messages(self, upgraded: Upgraded, changes: dict[str, Any], text: str) -> None:
        upgraded.old.call(upgraded.peers[0], "StartServiceByName", "su", NAME, 0)
        states = dump_starts(upgraded.old.bus.activation)
        damaged = [
            one.replace(messages=tuple(message.replace(**changes) for message in one.messages))
            for one in states
        ]
        assert any(one.messages for one in damaged)
        new = upgraded.make()
        with pytest.raises(StateError, match=rf"starts\[\d\]\.messages\[0\]\.{text}"):
            restore_starts(new.bus.activation, new.plane, new.bus.peers, damaged)

    def test_a_call_that_waits_is_handed_up_again(self, upgraded: Upgraded) -> None:
        """A sender that is stopped has its call in the data plane, which is not written here."""
        upgraded.old.happen(FakeEvent(peer=upgraded.peers[0].id, member="ListActivatableNames"), read=False)
        assert dump_starts(upgraded.old.bus.activation) == ()
