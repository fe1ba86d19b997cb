"""Clients of every library, unmodified, stay connected while the bus is upgraded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.programs import LIBRARIES, Program, need_library, peer_command, run

from .conftest import Bus, StartBus


class Library:
    """A bus with a service of one library."""

    def __init__(self, bus: Bus, peer: str) -> None:
        self.bus = bus
        self.peer = peer
        self.name = f"org.omnibus.{peer}"
        self.service = Program(peer_command(peer, "service", self.name), bus.daemon.environment())
        self.service.read_until("ready")

    def call(self) -> Program:
        """Start a caller that uses the whole service: arguments, errors, signals, descriptors both ways."""
        return Program(peer_command(self.peer, "call", self.name), self.bus.daemon.environment())


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest, start_bus: StartBus) -> Iterator[Library]:
    need_library(request.param)
    found = Library(start_bus(), request.param)
    yield found
    found.service.stop()


def test_service(library: Library) -> None:
    """It keeps its name and its connection, and serves a caller that was there before and a new one."""
    asking = library.bus.connect()
    owner = asking.driver("GetNameOwner", "s", library.name)
    serial = library.bus.start_upgrade(asking)
    caller = library.call()
    _, _, pause = asking.reply_to(serial).body
    library.bus.pauses.append(pause / 1e6)
    try:
        caller.read_until("ok")
    finally:
        caller.stop()
    library.bus.upgrade(asking)
    done = run(
        peer_command(library.peer, "call", library.name), library.bus.daemon.environment(), status=None
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done
    assert asking.driver("GetNameOwner", "s", library.name) == owner
