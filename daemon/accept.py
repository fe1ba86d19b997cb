"""The SASL handshake of connections that the data plane hands up, which it gets back authenticated."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

from ..auth.mechanism import Mechanisms
from ..auth.mechanisms import choose
from ..auth.server import Authenticated, Server
from ..transport.listener import Listener
from ..transport.relay import Credentials, Event, Relay
from .bus import Bus
from .containers.instance import FIRST_DOOR
from .credentials import at_console, from_socket, look_up_groups, socket_uid
from .doors import places
from .guard import ignored
from .handshake import Handshake, Refused
from .loop import Loop
from .peers import Peer
from .poller import Interest, Poller

RETRY_DELAY: Final = 1.0  # seconds


class Acceptor:
    """The connections whose authentication the data plane has handed up, until they are attached or closed.

    The data plane accepts connections, and counts those before Hello. A handshake that it does not support is
    replayed here from the first byte; within auth_timeout the connection is attached, or closed.
    """

    def __init__(
        self,
        loop: Loop,
        bus: Bus,
        relay: Relay,
        listeners: Sequence[Listener],
        mechanisms: Mechanisms,
    ) -> None:
        self._loop = loop
        self._bus = bus
        self._guard = bus.guard
        self._relay = relay
        self._places = places(listeners)
        self._mechanisms = mechanisms
        self._owner = os.geteuid()
        self._poller: Poller[Handshake] = Poller(loop, bus.guard, self._ready, self._drop)
        # One timer is enough, since all have the same time-out.
        self._handshakes: set[Handshake] = set()
        self._timer: asyncio.TimerHandle | None = None
        bus.on_handed_up = self._begin
        bus.on_drop = self._drop_peer

    def stop(self) -> None:
        """Stop accepting, and close the connections that have not authenticated yet."""
        self._relay.stop_listening()
        for handshake in list(self._handshakes):
            self._drop(handshake)
        self._relay.commit()
        self._poller.close()
        if self._timer is not None:
            self._timer.cancel()

    @property
    def handshakes(self) -> Collection[Handshake]:
        """All handshakes that have not been settled."""
        return self._handshakes

    def _begin(self, event: Event) -> None:
        """Take over a connection, and replay what it has sent so far."""
        sock = socket.socket(fileno=event.fd)
        try:
            handshake = self._handshake(sock, event)
        except Exception:
            sock.detach()  # the event still owns its descriptors
            raise
        if handshake is None:
            for fd in event.fds:
                os.close(fd)
            sock.close()
            self._relay.settled()
            return
        self._handshakes.add(handshake)
        self._guard.run(partial(self._replay, handshake, event), partial(self._drop, handshake))

    def _handshake(self, sock: socket.socket, event: Event) -> Handshake | None:
        """Return the beginning of a handshake; None: the connection is to be closed."""
        if event.listener >= FIRST_DOOR:
            return self._handshake_of_container(sock, event)
        listener, accepted_from = self._places[event.listener]
        is_unix = sock.family == socket.AF_UNIX
        machine = Server(
            listener.guid,
            self._mechanisms,
            socket_uid(sock),
            fd_passing=is_unix,
            nonce=listener.nonce,
        )
        max_fds = self._bus.limits.max_incoming_unix_fds
        number = accepted_from.fileno() if is_unix else -1
        handshake = Handshake(sock, machine, max_fds, number, event.began, event.peer, place=event.listener)
        handshake.adopt(event.fds)
        return handshake

    def _handshake_of_container(self, sock: socket.socket, event: Event) -> Handshake | None:
        containers = self._bus.containers
        instance = None if containers is None else containers.accept(event.listener)
        if instance is None or instance.server is None:
            return None
        mechanisms = choose(("EXTERNAL",), {})
        machine = Server(instance.server.guid, mechanisms, socket_uid(sock), fd_passing=True)
        max_fds = self._bus.limits.max_incoming_unix_fds
        handshake = Handshake(sock, machine, max_fds, -1, event.began, event.peer, place=event.listener)
        handshake.adopt(event.fds)
        handshake.instance = instance
        instance.connections.add(event.peer)
        return handshake

    def _replay(self, handshake: Handshake, event: Event) -> None:
        self._set_timer()
        self._advance(handshake, lambda: handshake.take_over(event.body, event.parked))

    def _advance(self, handshake: Handshake, step: Callable[[], Authenticated | None]) -> None:
        try:
            outcome = step()
        except Refused:
            self._drop(handshake)
            return
        self._continue(handshake, outcome)

    def _continue(self, handshake: Handshake, outcome: Authenticated | None) -> None:
        """Wait until the client writes or reads, or go on to its credentials."""
        if handshake.wants_to_send:
            # Until the client reads its replies, further input would only accumulate here.
            self._watch(handshake, Interest.WRITE)
        elif outcome is None:
            self._watch(handshake, Interest.READ)
        else:
            self._watch(handshake, Interest.NOTHING)
            self._identify(handshake, outcome)

    def _watch(self, handshake: Handshake, interest: Interest) -> None:
        """Change the event that is polled on the socket of the handshake."""
        if interest is not handshake.interest:
            self._poller.set(handshake.sock.fileno(), handshake.interest, interest, handshake)
            handshake.interest = interest

    def _ready(self, handshake: Handshake) -> None:
        writes = handshake.interest is Interest.WRITE
        self._advance(handshake, handshake.send if writes else handshake.receive)

    def _identify(self, handshake: Handshake, outcome: Authenticated) -> None:
        """Determine the credentials; a look-up in the user database gets a thread of its own."""
        credentials = from_socket(handshake.sock, outcome.uid)
        if credentials.gids is not None:
            self._admit(handshake, outcome, credentials)
            return
        assert credentials.uid is not None
        self._loop.in_thread(
            partial(_with_groups, credentials, credentials.uid),
            partial(self._admit, handshake, outcome),
            partial(self._drop, handshake),
        )

    def _admit(self, handshake: Handshake, outcome: Authenticated, credentials: Credentials) -> None:
        """Attach the connection if the policy allows it to connect."""
        if handshake not in self._handshakes or not self._may_connect(handshake, credentials):
            self._drop(handshake)
            return
        credentials = credentials.replace(
            fd_passing=outcome.fd_passing,
            privileged=credentials.uid in (0, self._owner),
            at_console=at_console(credentials.uid),
        )
        if handshake.instance is not None:
            credentials = handshake.instance.contain(credentials)
        peer = self._bus.peers.add(handshake.peer, credentials)
        try:
            self._attach(handshake, outcome, peer)
        except Exception:
            self._bus.peers.remove(peer)
            raise
        self._settle(handshake)

    def _attach(self, handshake: Handshake, outcome: Authenticated, peer: Peer) -> None:
        credentials, leftover = peer.credentials, outcome.leftover
        fds = handshake.take_fds()
        fd = handshake.sock.detach()
        # auth_timeout counts from accept(2) to Hello.
        listener, began = handshake.listener, handshake.began
        self._relay.attach(peer.id, fd, credentials, leftover, fds, listener=listener, began=began)

    def _may_connect(self, handshake: Handshake, credentials: Credentials) -> bool:
        if handshake.instance is not None:
            return credentials.uid == handshake.instance.uid  # whatever the policy says, as in the reference
        if credentials.uid is None:
            return self._bus.settings.allow_anonymous
        assert credentials.gids is not None  # looked up by now
        return self._bus.policy.can_connect(credentials.uid, credentials.gids, self._owner)

    def _set_timer(self) -> None:
        """Set the timer for the time-out of the oldest handshake."""
        if self._timer is None and self._handshakes and self._bus.limits.auth_timeout >= 0:
            oldest = min(handshake.began for handshake in self._handshakes)
            self._timer = self._loop.at(oldest + self._auth_timeout, self._expire, self._retry_expiry)

    @property
    def _auth_timeout(self) -> float:
        """auth_timeout in seconds."""
        return self._bus.limits.auth_timeout / 1000

    def _expire(self) -> None:
        """Close the connections that exceeded auth_timeout."""
        self._timer = None
        latest = self._loop.time() - self._auth_timeout
        for handshake in [one for one in self._handshakes if one.began <= latest]:
            self._guard.run(partial(self._time_out, handshake), partial(self._drop, handshake))
        self._set_timer()

    def _time_out(self, handshake: Handshake) -> None:
        timeout = self._bus.limits.auth_timeout
        self._bus.log.recurrent(
            "auth_timeout",
            "Connection has not authenticated soon enough, closing it"
            f" (auth_timeout={timeout}ms, elapsed: {timeout}ms)",
        )
        self._drop(handshake)

    def _retry_expiry(self, error: Exception) -> None:
        """Try again later, after an exception (``guard.py``)."""
        self._timer = self._loop.later(RETRY_DELAY, self._expire, self._retry_expiry)

    def _drop(self, handshake: Handshake, error: Exception | None = None) -> None:
        if handshake.sock.fileno() >= 0:
            self._guard.run(partial(self._watch, handshake, Interest.NOTHING), ignored)
        self._guard.run(handshake.close, lambda error: handshake.close())
        if handshake.instance is not None and self._bus.containers is not None:
            lost = partial(self._bus.containers.lost, handshake.instance, handshake.peer)
            self._guard.run(lost, ignored)
        self._settle(handshake)

    def _drop_peer(self, peer: int) -> None:
        """Close the connection with this id if it is authenticating."""
        for handshake in [one for one in self._handshakes if one.peer == peer]:
            self._drop(handshake)

    def _settle(self, handshake: Handshake) -> None:
        """End a handshake whose connection has been attached or closed."""
        if handshake in self._handshakes:
            self._handshakes.remove(handshake)
            # Repeated if it raises: otherwise the data plane would count the connection forever.
            self._guard.run(self._relay.settled, lambda error: self._relay.settled())
            self._relay.commit()


def _with_groups(credentials: Credentials, uid: int) -> Credentials:
    return credentials.replace(gids=look_up_groups(uid))
