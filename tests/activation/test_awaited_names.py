"""A name that is being started is the control plane's alone: it has to know which peer came, and when."""

from __future__ import annotations

from omnibus.daemon.peers import Peer
from omnibus.transport.relay import EventKind
from support.plane import FakeEvent

from .conftest import Desk

NAME = "org.example.Service"
OTHER = "org.example.Other"


class TestAwaited:
    def test_until_the_name_appears(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        assert not desk.plane.awaited
        desk.park(peer, NAME)
        assert desk.plane.awaited == {NAME}
        desk.own(desk.attach(), NAME)
        assert not desk.plane.awaited

    def test_each_for_itself(self, desk: Desk, peer: Peer) -> None:
        for name in (NAME, OTHER):
            desk.service(name)
            desk.park(peer, name)
        service = desk.attach()
        assert desk.plane.awaited == {NAME, OTHER}
        desk.own(service, NAME)
        assert desk.plane.awaited == {OTHER}
        desk.own(service, OTHER)
        assert not desk.plane.awaited

    def test_until_it_fails(self, desk: Desk, peer: Peer) -> None:
        desk.service(NAME)
        desk.park(peer, NAME)
        desk.tools.pass_time()
        assert not desk.plane.awaited

    def test_unknown_service(self, desk: Desk, peer: Peer) -> None:
        desk.park(peer, OTHER)
        assert not desk.plane.awaited

    def test_name_that_is_none(self, desk: Desk, peer: Peer) -> None:
        """StartServiceByName takes any string."""
        desk.call(peer, "StartServiceByName", "su", "né.à", 0)
        assert not desk.plane.awaited

    def test_given_just_before(self, desk: Desk, peer: Peer) -> None:
        """The data plane may assign a name before it learns that it is awaited."""
        desk.service(NAME)
        desk.park(peer, NAME)
        service = desk.attach()
        commands = desk.happen(FakeEvent(EventKind.NAMED, service.id, destination=NAME))
        assert commands == [("deliver", 1)]
        assert not desk.plane.awaited
