"""Connections that the data plane hands up: their SASL handshake, and their return to the data plane."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from ..auth.mechanism import Mechanisms
from ..auth.server import Authenticated, Server
from ..transport.listener import Listener
from ..transport.relay import Credentials as RelayCredentials
from ..transport.relay import Relay
from .bus import Bus
from .credentials import Credentials, at_console, from_socket, look_up_groups, socket_uid, with_groups
from .guard import ignored
from .handshake import Handshake, Refused
from .loop import Loop
from .peers import Peer
from .plane import Event
from .poller import Poller, Watch

AGAIN: Final = 1.0  # seconds


class Acceptor:
    """The listeners of one bus, and the connections whose authentication the data plane has handed up.

    The data plane accepts, and counts who has not said Hello yet. Whom it does not authenticate itself it
    hands up; that begins anew here, and ends with being attached, within auth_timeout.
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
        self._places = [(listener, sock) for listener in listeners for sock in listener.sockets]
        self._mechanisms = mechanisms
        self._owner = os.geteuid()
        self._poller: Poller[Handshake] = Poller(loop, bus.guard, self._go_on, self._drop)
        # One timer is enough, as all have the same time.
        self._handshakes: set[Handshake] = set()
        self._timer: asyncio.TimerHandle | None = None
        bus.on_handed_up = self._begin

    def start(self) -> None:
        """Begin to accept."""
        for number, (listener, sock) in enumerate(self._places):
            simple = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM
            simple = simple and "EXTERNAL" in self._mechanisms
            self._relay.listen(sock.fileno(), number, listener.guid, simple=simple)
        self._relay.commit()

    def stop(self) -> None:
        """Accept no more, drop who has not authenticated yet."""
        self._relay.stop_listening()
        for handshake in list(self._handshakes):
            self._drop(handshake)
        self._relay.commit()
        self._poller.close()
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self, event: Event) -> None:
        """Take over a connection; what it has said so far is heard again."""
        sock = socket.socket(fileno=event.fd)
        try:
            handshake = self._handshake(sock, event)
        except Exception:
            sock.detach()  # its descriptors stay the event's
            raise
        self._handshakes.add(handshake)
        self._guard.run(partial(self._hear_again, handshake, event), partial(self._drop, handshake))

    def _handshake(self, sock: socket.socket, event: Event) -> Handshake:
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
        handshake = Handshake(sock, machine, max_fds, number, event.began)
        handshake.adopt(event.fds)
        return handshake

    def _hear_again(self, handshake: Handshake, event: Event) -> None:
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
        """Wait for the client to write, or to read, or hand it on."""
        if handshake.wants_to_send:
            # What it says before it reads would only pile up here.
            self._watch(handshake, Watch.WRITE)
        elif outcome is None:
            self._watch(handshake, Watch.READ)
        else:
            self._watch(handshake, Watch.NOTHING)
            self._identify(handshake, outcome)

    def _watch(self, handshake: Handshake, watch: Watch) -> None:
        """Wait for this on the handshake's socket, and for nothing else."""
        if watch is not handshake.watch:
            self._poller.set(handshake.sock.fileno(), handshake.watch, watch, handshake)
            handshake.watch = watch

    def _go_on(self, handshake: Handshake) -> None:
        writes = handshake.watch is Watch.WRITE
        self._advance(handshake, handshake.send if writes else handshake.receive)

    def _identify(self, handshake: Handshake, outcome: Authenticated) -> None:
        """Find out who it is; if that takes the user database, in a thread of its own."""
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
        """Ask the policy whether it may connect, and attach it."""
        if handshake not in self._handshakes or not self._may_connect(credentials):
            self._drop(handshake)
            return
        peer = self._bus.peers.add(
            self._relay.next_id(),
            credentials,
            fd_passing=outcome.fd_passing,
            privileged=credentials.uid in (0, self._owner),
            at_console=at_console(credentials.uid),
        )
        try:
            self._attach(handshake, outcome, peer)
        except Exception:
            self._bus.peers.remove(peer)
            raise
        self._settle(handshake)

    def _attach(self, handshake: Handshake, outcome: Authenticated, peer: Peer) -> None:
        who, leftover = _for_relay(peer), outcome.leftover
        fds = handshake.take_fds()
        fd = handshake.sock.detach()
        # The time until Hello is counted from the beginning.
        listener, began = handshake.listener, handshake.began
        self._relay.attach(peer.id, fd, who, leftover, fds, listener=listener, began=began)

    def _may_connect(self, credentials: Credentials) -> bool:
        if credentials.uid is None:
            return self._bus.settings.allow_anonymous
        assert credentials.gids is not None  # looked up by now
        return self._bus.policy.can_connect(credentials.uid, credentials.gids, self._owner)

    def _set_timer(self) -> None:
        """Come back when the time of the oldest is up."""
        if self._timer is None and self._handshakes and self._bus.limits.auth_timeout >= 0:
            oldest = min(handshake.began for handshake in self._handshakes)
            self._timer = self._loop.at(oldest + self._auth_timeout, self._expire, self._not_expired)

    @property
    def _auth_timeout(self) -> float:
        """In seconds."""
        return self._bus.limits.auth_timeout / 1000

    def _expire(self) -> None:
        """Close those whose time is up."""
        self._timer = None
        latest = self._loop.time() - self._auth_timeout
        for handshake in [one for one in self._handshakes if one.began <= latest]:
            self._guard.run(partial(self._show_out, handshake), partial(self._drop, handshake))
        self._set_timer()

    def _show_out(self, handshake: Handshake) -> None:
        timeout = self._bus.limits.auth_timeout
        self._bus.log.recurrent(
            "auth_timeout",
            "Connection has not authenticated soon enough, closing it"
            f" (auth_timeout={timeout}ms, elapsed: {timeout}ms)",
        )
        self._drop(handshake)

    def _not_expired(self, error: Exception) -> None:
        """Look again later, if the time of some may still be up (``guard.py``)."""
        self._timer = self._loop.later(AGAIN, self._expire, self._not_expired)

    def _drop(self, handshake: Handshake, error: Exception | None = None) -> None:
        if handshake.sock.fileno() >= 0:
            self._guard.run(partial(self._watch, handshake, Watch.NOTHING), ignored)
        self._guard.run(handshake.close, lambda error: handshake.close())
        self._settle(handshake)

    def _settle(self, handshake: Handshake) -> None:
        """Count it no more: it is the data plane's, or closed."""
        if handshake in self._handshakes:
            self._handshakes.remove(handshake)
            # Once more if that raises: the data plane would count it for ever.
            self._guard.run(self._relay.settled, lambda error: self._relay.settled())
            self._relay.commit()


def _with_groups(credentials: Credentials, uid: int) -> Credentials:
    return with_groups(credentials, look_up_groups(uid))


def _for_relay(peer: Peer) -> RelayCredentials:
    who = peer.credentials
    return RelayCredentials(
        uid=who.uid,
        pid=who.pid,
        gids=who.gids or (),
        at_console=peer.at_console,
        fd_passing=peer.fd_passing,
        privileged=peer.privileged,
        loginfo=who.loginfo,
    )
