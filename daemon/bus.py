"""The bus: handles the events of the data plane. It decides at once, or later, and never blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..policy.error import ConfigError
from ..policy.settings import Settings
from ..transport.relay import BROADCAST, Evaluator, Event, EventKind, Relay
from ..transport.relay.message import METHOD_CALL, NO_AUTO_START
from . import errors
from .activation.activation import Activation
from .activation.environment import Environment
from .activation.tools import Tools
from .driver import BUS_NAME, BUS_PATH, Call, Driver, interfaces
from .errors import DBusError
from .guard import Failed, Guard, failure, ignored
from .history import History
from .logging import DENIED, RELOAD_FAILED, RELOADED, Log
from .mediation import set_contexts
from .names import NameRegistry
from .outlets import Field
from .peers import Peer, Peers, TooManyConnections
from .statistics import Statistics

if TYPE_CHECKING:
    from .containers.table import Containers

ReloadFailure = ConfigError | OSError
Reloaded = Callable[[ReloadFailure | None], None]
"""Callback for a finished reload; the argument is the failure or None."""


class Handling(NamedTuple):
    """The handler of a kind of event, and the function that ends the event if it raises (``guard.py``)."""

    handle: Callable[[Event], None]
    reject: Callable[[Event, Exception], None]


class Bus:
    """Peers, names and the driver above one data plane, which has the settings already.

    The hooks are set by the creator of the bus: ``on_handed_up`` takes over a connection whose handshake the
    data plane does not support, ``on_reload`` reloads the configuration and calls its argument when done,
    ``on_upgrade`` begins an upgrade that answers the call, ``on_drop`` closes a connection by its id if it is
    in its handshake, ``on_change`` is called before a commit if
    ``changed`` is set: what only the control plane knows has changed.
    """

    def __init__(
        self,
        relay: Relay,
        settings: Settings,
        log: Log,
        *,
        systemd_activation: bool = False,
        tools: Tools,
        environment: Environment,
    ) -> None:
        self.relay = relay
        self.log = log
        self.driver = Driver(interfaces(containers=settings.containers))
        self.names = NameRegistry()
        self.systemd_activation = systemd_activation
        self.guard = Guard(log)
        self.history = History()
        self.loaded_at = time.time()
        self.statistics = Statistics(relay, self.guard)
        self.on_handed_up: Callable[[Event], None] = lambda event: None
        self.on_reload: Callable[[Reloaded, Failed], None] = lambda done, failed: None
        self.on_upgrade: Callable[[Call], None] = lambda call: None
        self.on_drop: Callable[[int], None] = lambda peer: None
        self.on_change: Callable[[], None] = lambda: None
        self.changed = False
        self.restored_metadata: dict[int, bytes] = {}
        """Of the previous program, by connections that are yet to be reported."""
        # Keys are plain numbers, since members of an enumeration are slow to hash.
        self.handlings: dict[int, Handling] = {
            EventKind.CALL.value: Handling(self._called, self._fail_call),
            EventKind.PARKED.value: Handling(self._parked, self._fail_parked),
            EventKind.GONE.value: Handling(self._gone, self._forget),
            EventKind.EXPORT.value: Handling(self.statistics.receive, self._fail_export),
            EventKind.LOG.value: Handling(self._log, self._ignore),
            EventKind.WELCOMED.value: Handling(self._welcomed, self._disconnect),
            EventKind.ADMITTED.value: Handling(self._admitted, self._disconnect),
            EventKind.LEFT.value: Handling(self._left, lambda event, error: self._left(event)),
            EventKind.HANDED_UP.value: Handling(lambda event: self.on_handed_up(event), self._close),
            EventKind.NAMED.value: Handling(self._named, lambda event, error: self._named(event)),
            EventKind.RELEASED.value: Handling(self._released, lambda event, error: self._released(event)),
        }
        self.settings = settings
        self.limits = settings.limits
        self.policy = Evaluator(settings.policy)
        self.peers = Peers(self.limits)
        self.containers: Containers | None = None
        if settings.containers:
            self.enable_containers()
        self.tools = tools
        self.activation = Activation(self, self.tools, environment)
        self.activation.configure(settings)

    def enable_containers(self) -> Containers:
        """Return the table of container instances, which most buses do without."""
        if self.containers is None:
            from .containers.table import Containers

            self.containers = Containers(self)
        return self.containers

    def configure(self, settings: Settings) -> None:
        """Apply limits and policy, to connected clients too; raises ValueError or MemoryError.

        If it raises, nothing has changed.
        """
        # Operations that can fail come first.
        policy = Evaluator(settings.policy)
        self.relay.load_policy(settings.policy)
        try:
            self.relay.set_limits(settings.limits)
        except Exception:
            self.relay.load_policy(self.settings.policy)
            raise
        set_contexts(self.relay, settings)
        self.settings = settings
        self.limits = settings.limits
        self.policy = policy
        self.changed = True

    @property
    def is_system(self) -> bool:
        """True if services are started by the setuid launch helper."""
        return self.settings.servicehelper is not None

    def owner(self, name: str) -> Peer | None:
        """Return the owner of a name, unique or well-known."""
        if name.startswith(":"):
            return self.peers.by_name(name)
        owner = self.names.owner(name)
        return None if owner is None else self.peers[owner]

    def dispatch(self) -> None:
        """Handle the queued events; the commands that follow from them are one batch."""
        for event in self.relay.events():
            try:
                self.handlings[event.kind].handle(event)
            except Exception as error:
                # The remaining events belong to other connections.
                self.guard.failed(error, partial(self.handlings[event.kind].reject, event))
        self.commit()

    def commit(self) -> None:
        """Hand over the commands; a client gets no answer before a standby knows what was changed for it."""
        if self.changed:
            self.changed = False
            self.guard.run(self.on_change, ignored)
        self.relay.commit()

    def leave_queues(self, peer: int, oldest_first: bool = False) -> None:
        """Remove a connection from the queues of all its names, which may be long: only the change is sent.

        The names are released in reverse order of their requests, unless ``oldest_first``. A command that
        raises is repeated, since the registry has changed already.
        """
        left = self.names.disconnect(peer)
        for name in reversed(left) if oldest_first else left:
            self._leave_queue(name, peer)

    def _leave_queue(self, name: str, peer: int) -> None:
        leave = partial(self.relay.leave_queue, name, peer)
        self.guard.run(leave, lambda error: leave())

    def state_queue(self, name: str, queue: Sequence[int]) -> None:
        """Send a name's queue to the data plane; repeated if it raises, as the registry has changed already.

        If the planes disagreed about the owner, a message to the name would bounce between them forever.
        """
        flags = [flags for _, flags in self.names.places(name)] if queue else []
        again = partial(self.relay.set_queue, name, queue, flags)
        self.guard.run(again, lambda error: again())

    def in_steps(self, call: Call, steps: Iterator[None]) -> None:
        """Answer a call in steps, between which other events are handled; a small call takes one step.

        The steps end when the caller is gone, since its message is freed then.
        """

        def proceed() -> None:
            if call.waits and self.peers.get(call.peer.id) is call.peer:
                for _ in steps:
                    self.tools.later(0.0, proceed, call.failed)
                    break

        proceed()

    def reload(self, call: Call) -> None:
        """Reload the configuration, and answer the call when that is done."""

        def answer(why: ReloadFailure | None) -> None:
            if why is None:
                call.reply_body(b"")  # also to a call that expects no reply, as in the reference
            else:
                missing = isinstance(why, ConfigError) and why.missing
                call.fail(DBusError(errors.FILE_NOT_FOUND if missing else errors.FAILED, str(why)))

        self.on_reload(answer, call.failed)

    def reloaded(self, settings: Settings) -> None:
        """Apply new settings; raises like ``configure``. The caller commits."""
        self.configure(settings)
        self.loaded_at = time.time()
        self.history.n_reloads += 1
        self.peers.limits = settings.limits
        self.activation.configure(settings)
        for warning in settings.warnings:
            self._warn(str(warning), CONFIG_FILE=warning.file, CONFIG_LINE=warning.line or None)
        self.guard.run(lambda: self.log.info("Reloaded configuration", MESSAGE_ID=RELOADED), ignored)
        self.guard.run(self.announce_services, ignored)

    def reload_failed(self, failure: ReloadFailure) -> None:
        """Log a failed reload; the old settings stay."""
        self.history.n_reloads_failed += 1
        file, line = (failure.file, failure.line) if isinstance(failure, ConfigError) else (None, None)
        text = f"Unable to reload configuration: {failure}"
        self._warn(text, MESSAGE_ID=RELOAD_FAILED, CONFIG_FILE=file, CONFIG_LINE=line or None)
        # The service directories may have changed nevertheless.
        self.guard.run(self.announce_services, ignored)

    def _warn(self, text: str, **fields: Field) -> None:
        """Log a warning; a failure to do so is ignored."""
        self.guard.run(lambda: self.log.warning(text, **fields), ignored)

    def announce_services(self) -> None:
        """Send the signal that the set of activatable names may have changed."""
        self.relay.signal(BROADCAST, BUS_PATH, BUS_NAME, "ActivatableServicesChanged", "", b"")

    def _log(self, event: Event) -> None:
        text = event.body.decode("utf-8", "replace")
        if event.destination is None:
            self.log.event(event.type, text)
            return
        peer = self.peers.get(event.peer)
        sender = None if peer is None else peer.unique_name
        self.history.denied(text, event, sender)
        self.log.event(
            event.type,
            text,
            MESSAGE_ID=DENIED,
            DBUS_SENDER=BUS_NAME if event.peer == BROADCAST else sender,
            DBUS_DESTINATION=event.destination,
            CONFIG_FILE=event.path,
            CONFIG_LINE=event.serial if event.path else None,
        )

    def _admitted(self, event: Event) -> None:
        """Record a connection that the data plane has admitted."""
        peer = self.peers.add(event.peer, event.credentials)
        peer.monitor = event.monitor
        peer.metadata = self.restored_metadata.pop(peer.id, b"")
        if self.containers is not None:
            self.containers.rejoin(peer)
        if event.active:
            self.activate(peer)

    def activate(self, peer: Peer) -> None:
        """Record that a connection has a unique name."""
        self.peers.activate(peer)
        self.history.n_opened += 1
        self.log.debug("{} ({}) has connected", peer.unique_name, peer.credentials.loginfo)

    def _remove(self, peer: Peer) -> None:
        self.peers.remove(peer)
        if self.containers is not None:
            self.containers.gone(peer)

    def _forget_peer(self, peer: Peer, event: Event) -> None:
        """Record that a connection is gone."""
        self._remove(peer)
        reason = event.reason.name.lower()
        self.history.left(peer, reason)
        self.log.debug("{} ({}) has ended: {}", peer.unique_name, peer.credentials.loginfo, reason)

    def _called(self, event: Event) -> None:
        peer = self.peers[event.peer]
        if event.type == METHOD_CALL:
            call = Call(self.relay, peer, event)
            try:
                self._call(call)
            except Exception as error:
                self.guard.failed(error, call.failed)
        else:
            self._receive(peer, event)

    def _call(self, call: Call) -> None:
        try:
            reply = self.driver.handle(self, call)
        except TooManyConnections as error:
            self.log.recurrent(error.limit, f"{error.text} ({error.limit}={error.value})")
            raise
        if reply is not None:
            call.reply(*reply.values)

    def _receive(self, peer: Peer, event: Event) -> None:
        """Handle a signal to the bus, or a reply to one of its calls."""
        try:
            self.activation.receive(peer, event)
        except DBusError as error:
            self.relay.error(event.peer, event.serial, error.name, error.text)
        self.relay.resume(event.peer)

    def _parked(self, event: Event) -> None:
        """Deliver a parked message to the owner that its name has by now, or start the service."""
        if self.owner(event.destination or "") is not None:
            self.relay.deliver(event.parked)
        elif event.flags & NO_AUTO_START:
            text = f'Name "{event.destination}" does not exist'
            self.relay.reject(event.parked, errors.NAME_HAS_NO_OWNER, text)
        else:
            self.activation.park(self.peers[event.peer], event)

    def _named(self, event: Event) -> None:
        """Note that a connection was given a name that was free; idempotent."""
        name = event.destination or ""
        assert self.names.owner(name) in (None, event.peer), name
        self.names.request(name, event.peer, event.flags)
        self.activation.name_acquired(name)

    def _released(self, event: Event) -> None:
        """Note that a connection has given up a name that no other wanted; idempotent."""
        name = event.destination or ""
        assert self.names.queue(name) in ((), (event.peer,)), name
        self.names.release(name, event.peer)

    def _welcomed(self, event: Event) -> None:
        """Record that Hello was answered."""
        self.activate(self.peers[event.peer])

    def _gone(self, event: Event) -> None:
        peer = self.peers.get(event.peer)
        if peer is None:
            self.relay.forget(event.peer)  # recording it has failed
            return
        if peer.monitor:
            self.log.info(f"Monitoring connection {peer.unique_name} closed.")
        self.leave_queues(peer.id)
        self.guard.run(partial(self.activation.gone, peer), ignored)
        self.relay.forget(peer.id)
        self._forget_peer(peer, event)

    def _left(self, event: Event) -> None:
        """Forget a connection that is gone, and that had neither names nor pending replies."""
        peer = self.peers.get(event.peer)
        if peer is not None:
            self._forget_peer(peer, event)

    # The functions that end an event whose handler has raised an exception (``guard.py``).

    def _ignore(self, event: Event, error: Exception) -> None:
        """Do nothing: the event needs no answer."""

    def _fail_call(self, event: Event, error: Exception) -> None:
        if event.type == METHOD_CALL:
            answer = failure(error)
            self.relay.error(event.peer, event.serial, answer.name, answer.text)
        self.guard.run(partial(self.activation.receive_failed, event), ignored)
        self.relay.resume(event.peer)

    def _fail_parked(self, event: Event, error: Exception) -> None:
        answer = failure(error)
        self.relay.reject(event.parked, answer.name, answer.text)

    def _fail_export(self, event: Event, error: Exception) -> None:
        self.statistics.fail(error)

    def _disconnect(self, event: Event, error: Exception) -> None:
        """Close a connection whose state the control plane has failed to record."""
        self.relay.disconnect(event.peer)

    def _forget(self, event: Event, error: Exception) -> None:
        """Complete what ``_gone`` has left undone."""
        self.leave_queues(event.peer)
        peer = self.peers.get(event.peer)
        if peer is not None:
            self.guard.run(partial(self.activation.gone, peer), ignored)
            self._remove(peer)
        self.relay.forget(event.peer)

    def _close(self, event: Event, error: Exception) -> None:
        """Close a connection that was handed up, and that has no other owner."""
        for fd in (event.fd, *event.fds):
            os.close(fd)
        self.relay.settled()
