"""A start, shared by all waiters for the same name."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..peers import Peer
from .service_file import ServiceFile
from .waiters import Waiter

if TYPE_CHECKING:
    import asyncio

    from .spawner import Running


class Start:
    """``service`` is None during the look-up, and for the service manager, which is not started by the bus.

    ``running``: the service was found, the policy allows at least one waiter, and it is being started. Until
    then waiters are ``unjudged``; ``waiters`` are those that were allowed, and count against the limit. At
    ``deadline``, in seconds of CLOCK_MONOTONIC, it fails. ``child``: its program, ``transient``: the unit in
    which systemd runs it instead.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.timer: asyncio.TimerHandle | None = None
        self.deadline = 0.0
        self.unjudged: deque[Waiter] = deque()
        self.waiters: list[Waiter] = []
        self.service: ServiceFile | None = None
        self.running = False
        self.child: Running | None = None
        self.transient: str | None = None

    def take(self) -> list[Waiter]:
        """Remove and return all waiters."""
        waiters = [*self.waiters, *self.unjudged]
        self.waiters, self.unjudged = [], deque()
        return waiters

    def leave(self, peer: Peer) -> tuple[list[Waiter], int]:
        """Remove the waiters of a connection; return them, and the number of judged ones."""
        lost = [waiter for waiter in self.waiters if waiter.peer is peer]
        if lost:
            self.waiters = [waiter for waiter in self.waiters if waiter.peer is not peer]
        early = [waiter for waiter in self.unjudged if waiter.peer is peer]
        if early:
            self.unjudged = deque(waiter for waiter in self.unjudged if waiter.peer is not peer)
        return lost + early, len(lost)

    @property
    def first_peer(self) -> Peer | None:
        """The connection that waits the longest; None: the bus itself, or none does."""
        waiters = self.waiters or self.unjudged
        return waiters[0].peer if waiters else None

    @property
    def exec(self) -> str | None:
        """The command line."""
        return None if self.service is None else self.service.exec

    @property
    def unit(self) -> str | None:
        """The systemd unit of the service, named by its file or transient."""
        if self.transient is not None or self.service is None:
            return self.transient
        return self.service.systemd_service
