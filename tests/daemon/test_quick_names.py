"""What the data plane has answered of RequestName and ReleaseName, and the control plane takes over."""

from __future__ import annotations

from typing import Any

import pytest

from omnibus.daemon.peers import Peer
from omnibus.transport.relay import EventKind
from support.plane import FakeEvent
from support.wire import unmarshal

from .conftest import Desk

ERROR = "org.freedesktop.DBus.Error."
NAME = "org.example.Name"


def named(peer: Peer, name: str = NAME, flags: int = 0) -> FakeEvent:
    return FakeEvent(EventKind.NAMED, peer.id, destination=name, flags=flags)


def released(peer: Peer, name: str = NAME) -> FakeEvent:
    return FakeEvent(EventKind.RELEASED, peer.id, destination=name)


def result(desk: Desk, peer: Peer, member: str, signature: str, *args: Any) -> Any:
    """Return what a method answers, whatever else is said."""
    *_, reply, resume = desk.call(peer, member, signature, *args)
    assert (reply[0], resume[0]) == ("reply", "resume")
    return unmarshal(reply[3], reply[4])[0]


class TestNamed:
    def test_owner(self, desk: Desk, peer: Peer) -> None:
        """The signals were sent by the data plane and are not repeated."""
        assert desk.happen(named(peer)) == []
        assert result(desk, desk.attach(), "ListQueuedOwners", "s", NAME) == [peer.unique_name]

    def test_before_the_next_call(self, desk: Desk, peer: Peer) -> None:
        """What happened first counts first."""
        other = desk.attach()
        desk.plane.waiting = [named(peer)]
        assert result(desk, other, "RequestName", "su", NAME, 0) == 2

    @pytest.mark.parametrize(("flags", "answer"), [(0, 2), (1, 1), (0xF8, 2), (0xF9, 1)])
    def test_flags(self, desk: Desk, peer: Peer, flags: int, answer: int) -> None:
        """ALLOW_REPLACEMENT, and bits that mean nothing."""
        desk.happen(named(peer, flags=flags))
        assert result(desk, desk.attach(), "RequestName", "su", NAME, 2) == answer

    def test_gone(self, desk: Desk, peer: Peer) -> None:
        commands = desk.happen(named(peer), FakeEvent(EventKind.GONE, peer.id))
        assert commands == [("leave_queue", NAME, peer.id), ("forget", peer.id)]


class TestReleased:
    def test_free(self, desk: Desk, peer: Peer) -> None:
        assert desk.happen(named(peer), released(peer)) == []
        assert result(desk, desk.attach(), "RequestName", "su", NAME, 0) == 1

    def test_gone(self, desk: Desk, peer: Peer) -> None:
        """The name has no owner, so no signal is sent."""
        events = named(peer), released(peer), FakeEvent(EventKind.GONE, peer.id)
        assert desk.happen(*events) == [("forget", peer.id)]


class TestWrongPlane:
    """Each name has one decider, so these can't happen; if they do, the log has it and nothing changes."""

    def wrong(self, desk: Desk, event: FakeEvent) -> list[int]:
        """Return the queue after an event that must not come."""
        assert desk.happen(event) == []
        assert any("AssertionError: org.example.Name" in line for line in desk.log.lines)
        return list(desk.bus.names.queue(NAME))

    def test_name_that_is_not_free(self, desk: Desk, peer: Peer) -> None:
        desk.happen(named(peer))
        assert self.wrong(desk, named(desk.attach())) == [peer.id]

    def test_release_by_another(self, desk: Desk, peer: Peer) -> None:
        desk.happen(named(peer))
        assert self.wrong(desk, released(desk.attach())) == [peer.id]

    def test_release_though_others_wait(self, desk: Desk, peer: Peer) -> None:
        other = desk.attach()
        desk.happen(named(peer))
        desk.call(other, "RequestName", "su", NAME, 0)
        assert self.wrong(desk, released(peer)) == [peer.id, other.id]
