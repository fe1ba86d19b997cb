"""A bus on a fake data plane that records its commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from omnibus.daemon.activation.environment import Environment
from omnibus.daemon.bus import Bus
from omnibus.daemon.guard import Action, Failed
from omnibus.daemon.peers import Peer
from omnibus.policy.block import encode
from omnibus.policy.rules import Kind, Rule
from omnibus.policy.settings import Limits, Settings
from omnibus.transport.relay import Credentials
from support.plane import FakeEvent, FakePlane, Lines, make_credentials
from support.wire import marshal

OWN_ANYTHING_BELOW_ORG = [Rule(Kind.OWN, allow=True, destination="org", prefix=True)]


class ImmediateTools:
    """Reads directories at once; there are no timers and no programs."""

    def in_background(self, work: Callable[[], Any], done: Callable[[Any], object], failed: Failed) -> None:
        done(work())

    def later(self, seconds: float, action: Action, failed: Failed) -> None:
        pass

    def now(self) -> float:
        return 0.0


class Desk:
    """The bus, its data plane and its log, with methods that inject events."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        rules: Sequence[Rule] = OWN_ANYTHING_BELOW_ORG,
        environment: Environment | None = None,
        **settings: Any,
    ) -> None:
        self.plane = FakePlane()
        self.log = Lines()
        self.settings = Settings(limits=limits or Limits(), policy=encode(rules), **settings)
        environment = environment or Environment({}, "", None)
        self.bus = Bus(self.plane, self.settings, self.log, tools=ImmediateTools(), environment=environment)
        self.plane.batch.clear()

    def attach(
        self, credentials: Credentials | None = None, *, hello: bool = True, fd_passing: bool = True
    ) -> Peer:
        """Add a connection; uid 0 is privileged."""
        credentials = credentials or make_credentials()
        credentials = credentials.replace(fd_passing=fd_passing, privileged=credentials.uid == 0)
        peer = self.bus.peers.add(self.plane.next_id(), credentials)
        if hello:
            self.bus.peers.activate(peer)
        return peer

    def happen(self, *events: FakeEvent) -> list[tuple[Any, ...]]:
        """Process the pending events as one batch; return the resulting commands."""
        self.plane.waiting += events
        self.bus.dispatch()
        assert self.plane.batch == []
        return self.plane.take()

    def call(
        self, peer: Peer, member: str, signature: str = "", *args: Any, **fields: Any
    ) -> list[tuple[Any, ...]]:
        """Report a method call."""
        body = marshal(signature, args)
        return self.happen(FakeEvent(peer=peer.id, member=member, signature=signature, body=body, **fields))

    def fails(
        self, peer: Peer, member: str, signature: str = "", *args: Any, **fields: Any
    ) -> tuple[str, str]:
        """Call a method that must cause an error and nothing else; return its name and text."""
        error, resume = self.call(peer, member, signature, *args, **fields)
        assert error[:3] == ("error", peer.id, fields.get("serial", 1))
        assert resume == ("resume", peer.id)
        return error[3], error[4]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def peer(desk: Desk) -> Peer:
    return desk.attach()
