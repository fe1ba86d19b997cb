"""Takes in connections: accepts them, lets them authenticate, and hands them to the data plane."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import threading
from collections.abc import Sequence
from typing import Final

from ..auth.mechanism import Mechanisms
from ..auth.server import Authenticated
from ..auth.server import Server as Authentication
from ..transport.listener import Listener
from ..transport.relay import Credentials as RelayCredentials
from ..transport.relay import Relay
from .bus import Bus
from .credentials import Credentials, at_console, from_socket, look_up_groups, socket_uid, with_groups
from .handshake import Handshake, Refused
from .peers import Peer
from .poller import Poller, Watch

PAUSE_AFTER_ERROR: Final = 1.0  # seconds without accept() when descriptors or memory have run out


class Server:
    """The listeners of one bus, and the connections that have not said Hello yet.

    These are what max_incomplete_connections and auth_timeout are about.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bus: Bus,
        relay: Relay,
        listeners: Sequence[Listener],
        mechanisms: Mechanisms,
    ) -> None:
        self._loop = loop
        self._bus = bus
        self._relay = relay
        self._listeners = listeners
        self._mechanisms = mechanisms
        self._owner = os.geteuid()
        self._poller: Poller[Handshake] = Poller(loop, self._go_on)
        # When each began; one timer is enough, as all have the same time.
        self._incomplete: dict[Handshake, float] = {}
        self._silent: dict[Peer, Handshake] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._accepting = False
        self._pause: asyncio.TimerHandle | None = None
        bus.on_active = self._complete
        bus.on_gone = self._complete
        bus.count_incomplete = self.count_incomplete

    def start(self) -> None:
        """Begin to accept."""
        self._set_accepting(True)

    def stop(self) -> None:
        """Accept no more, drop who has not authenticated yet."""
        self._set_accepting(False)
        if self._pause is not None:
            self._pause.cancel()
        for handshake in list(self._incomplete):
            if handshake.peer is None:
                self._drop(handshake)
        self._poller.close()
        if self._timer is not None:
            self._timer.cancel()

    def _set_accepting(self, accepting: bool) -> None:
        if accepting == self._accepting:
            return
        self._accepting = accepting
        for listener in self._listeners:
            for sock in listener.sockets:
                if accepting:
                    self._loop.add_reader(sock.fileno(), self._accept, listener, sock)
                else:
                    self._loop.remove_reader(sock.fileno())

    def count_incomplete(self) -> int:
        """Return how many connections have not said Hello yet."""
        return len(self._incomplete)

    def _has_room(self) -> bool:
        return self.count_incomplete() < self._bus.limits.max_incomplete_connections

    def _watch_room(self) -> None:
        """Go on accepting, or stop, as there is room."""
        if self._pause is None:
            self._set_accepting(self._has_room())

    def _accept(self, listener: Listener, sock: socket.socket) -> None:
        """Take one: if there are more, the loop calls again, which costs less than to find that out."""
        try:
            connection, _ = sock.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return
        except OSError as error:
            self._bus.log.warning(f"Failed to accept a client connection: {error.strerror}")
            self._set_accepting(False)
            self._pause = self._loop.call_later(PAUSE_AFTER_ERROR, self._resume)
            return
        self._begin(listener, sock, connection)
        self._watch_room()

    def _resume(self) -> None:
        self._pause = None
        self._watch_room()

    def _begin(self, listener: Listener, accepted_from: socket.socket, sock: socket.socket) -> None:
        sock.setblocking(False)
        is_unix = sock.family == socket.AF_UNIX
        machine = Authentication(
            listener.guid,
            self._mechanisms,
            socket_uid(sock),
            fd_passing=is_unix,
            nonce=listener.nonce,
        )
        max_fds = self._bus.limits.max_incoming_unix_fds
        handshake = Handshake(sock, machine, max_fds, accepted_from.fileno() if is_unix else -1)
        self._incomplete[handshake] = self._loop.time()
        self._set_timer()
        # Most clients have said something by now; if not, this begins to wait.
        self._receive(handshake)

    def _receive(self, handshake: Handshake) -> None:
        try:
            outcome = handshake.receive()
        except Refused:
            self._drop(handshake)
            return
        self._continue(handshake, outcome)

    def _send(self, handshake: Handshake) -> None:
        try:
            outcome = handshake.send()
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
        if handshake.watch is Watch.WRITE:
            self._send(handshake)
        else:
            self._receive(handshake)

    def _identify(self, handshake: Handshake, outcome: Authenticated) -> None:
        """Find out who it is; if that takes the user database, in a thread of its own."""
        credentials = from_socket(handshake.sock, outcome.uid)
        if credentials.gids is not None:
            self._admit(handshake, outcome, credentials)
            return
        assert credentials.uid is not None
        threading.Thread(
            target=self._look_up, args=(handshake, outcome, credentials, credentials.uid), daemon=True
        ).start()

    def _look_up(
        self, handshake: Handshake, outcome: Authenticated, credentials: Credentials, uid: int
    ) -> None:
        found = with_groups(credentials, look_up_groups(uid))
        self._loop.call_soon_threadsafe(self._admit, handshake, outcome, found)

    def _admit(self, handshake: Handshake, outcome: Authenticated, credentials: Credentials) -> None:
        """Ask the policy whether it may connect, and attach it."""
        if handshake not in self._incomplete or not self._may_connect(credentials):
            credentials.close()
            self._drop(handshake)
            return
        peer = self._bus.peers.add(
            credentials,
            fd_passing=outcome.fd_passing,
            privileged=credentials.uid in (0, self._owner),
            at_console=at_console(credentials.uid),
        )
        handshake.peer = peer
        # The deadline is for Hello, and counts from the beginning.
        self._silent[peer] = handshake
        fds = handshake.take_fds(outcome.offset)
        fd = handshake.sock.detach()
        self._relay.attach(peer.id, fd, _for_relay(peer), outcome.leftover, fds, listener=handshake.listener)
        self._relay.commit()

    def _may_connect(self, credentials: Credentials) -> bool:
        if credentials.uid is None:
            return self._bus.settings.allow_anonymous
        return bool(self._bus.policy.can_connect(credentials.uid, credentials.gids, self._owner))

    def _set_timer(self) -> None:
        """Come back when the time of the oldest is up."""
        if self._timer is None and self._incomplete:
            oldest = min(self._incomplete.values())
            if oldest != math.inf:
                self._timer = self._loop.call_at(oldest + self._auth_timeout, self._expire)

    @property
    def _auth_timeout(self) -> float:
        """In seconds."""
        return self._bus.limits.auth_timeout / 1000

    def _expire(self) -> None:
        """Close those whose time is up."""
        self._timer = None
        # The data plane may have answered a Hello while this was about to happen.
        self._bus.dispatch()
        latest = self._loop.time() - self._auth_timeout
        for handshake in [one for one, began in self._incomplete.items() if began <= latest]:
            self._give_up(handshake)
        self._set_timer()

    def _give_up(self, handshake: Handshake) -> None:
        timeout = self._bus.limits.auth_timeout
        self._bus.log.warning(
            "Connection has not authenticated soon enough, closing it"
            f" (auth_timeout={timeout}ms, elapsed: {timeout}ms)"
        )
        if handshake.peer is None:
            self._drop(handshake)
        else:
            # It counts until it is gone.
            self._incomplete[handshake] = math.inf
            self._relay.disconnect(handshake.peer.id)
            self._relay.commit()

    def _drop(self, handshake: Handshake) -> None:
        self._incomplete.pop(handshake, None)
        if handshake.sock.fileno() >= 0:
            self._watch(handshake, Watch.NOTHING)
        handshake.close()
        self._watch_room()

    def _complete(self, peer: Peer) -> None:
        """Note that a connection has said Hello, or is gone."""
        handshake = self._silent.pop(peer, None)
        if handshake is not None:
            del self._incomplete[handshake]
            self._watch_room()


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
