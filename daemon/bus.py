"""The control plane: decides what the data plane reports, and never waits for anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ..policy.error import ConfigError
from ..policy.settings import Settings
from ..transport.relay import BROADCAST, Evaluator, EventKind
from ..transport.relay.message import METHOD_CALL, NO_AUTO_START
from . import errors
from .activation.activation import Activation
from .activation.environment import Environment
from .activation.tools import NoTools, Tools
from .credentials import Credentials
from .driver import BUS_NAME, BUS_PATH, Call, Driver
from .errors import DBusError
from .guard import Failed, Guard, failure, ignored
from .logging import DENIED, RELOAD_FAILED, RELOADED, Log
from .names import NameRegistry
from .outlets import Field
from .peers import Peer, Peers, TooManyConnections
from .plane import DataPlane, Event
from .statistics import Statistics

ReloadFailure = ConfigError | OSError
Reloaded = Callable[[ReloadFailure | None], None]
"""Is told that a reload is over, and why it failed."""


class Handling(NamedTuple):
    """What is done about a kind of event, and what ends it if that raises something (``guard.py``)."""

    handle: Callable[[Event], None]
    reject: Callable[[Event, Exception], None]


class Bus:
    """Peers, names and the driver above one data plane.

    The hooks are set by who starts the bus: ``on_handed_up`` tells the server of a connection whose
    authentication it has to do, ``on_reload`` begins to read the configuration again, and tells what it is
    given how that went.
    """

    def __init__(
        self,
        relay: DataPlane,
        settings: Settings,
        log: Log,
        *,
        systemd_activation: bool = False,
        tools: Tools | None = None,
        environment: Environment | None = None,
    ) -> None:
        self.relay = relay
        self.log = log
        self.driver = Driver()
        self.names = NameRegistry()
        self.systemd_activation = systemd_activation
        self.guard = Guard(log)
        self.statistics = Statistics(relay, self.guard)
        self.on_handed_up: Callable[[Event], None] = lambda event: None
        self.on_reload: Callable[[Reloaded, Failed], None] = lambda told, failed: None
        # By plain numbers: members of an enumeration are slow as keys.
        self.handlings: dict[int, Handling] = {
            EventKind.CALL.value: Handling(self._called, self._not_called),
            EventKind.PARKED.value: Handling(self._parked, self._not_parked),
            EventKind.GONE.value: Handling(self._gone, self._forget),
            EventKind.EXPORT.value: Handling(self.statistics.told, self._not_exported),
            EventKind.LOG.value: Handling(self._log, self._nothing),
            EventKind.WELCOMED.value: Handling(self._welcomed, self._disconnect),
            EventKind.ADMITTED.value: Handling(self._admitted, self._disconnect),
            EventKind.LEFT.value: Handling(self._left, lambda event, error: self._left(event)),
            EventKind.HANDED_UP.value: Handling(lambda event: self.on_handed_up(event), self._close),
            EventKind.NAMED.value: Handling(self._named, lambda event, error: self._named(event)),
            EventKind.RELEASED.value: Handling(self._released, lambda event, error: self._released(event)),
        }
        self.settings = settings
        self.configure(settings)
        self.peers = Peers(self.limits)
        self.tools = tools or NoTools()
        self.activation = Activation(self, self.tools, environment or Environment({}, "", None))
        self.activation.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Put limits and policy in force, for connected clients too; raises ValueError or MemoryError.

        If it raises, nothing has changed.
        """
        # What may fail comes first.
        policy = Evaluator(settings.policy)
        self.relay.load_policy(settings.policy)
        try:
            self.relay.set_limits(settings.limits)
        except Exception:
            self.relay.load_policy(self.settings.policy)
            raise
        self.settings = settings
        self.limits = settings.limits
        self.policy = policy

    @property
    def is_system(self) -> bool:
        """True if services are started through a helper program that changes the user."""
        return self.settings.servicehelper is not None

    def owner(self, name: str) -> Peer | None:
        """Return the connection that has this name, unique or well-known."""
        if name.startswith(":"):
            return self.peers.by_name(name)
        owner = self.names.owner(name)
        return None if owner is None else self.peers[owner]

    def dispatch(self) -> None:
        """Handle what the data plane reports; the answers to all of it go down as one batch."""
        for event in self.relay.events():
            try:
                self.handlings[event.kind].handle(event)
            except Exception as error:
                # The events behind it are other people's.
                self.guard.failed(error, partial(self.handlings[event.kind].reject, event))
        self.relay.commit()

    def leave_queues(self, peer: int, first_first: bool = False) -> None:
        """Take a connection out of all its names' queues, which may be long: the rest is not restated.

        The name asked for last comes first, or last with ``first_first``. The data plane is told once more if
        that raises, for the registry has it already.
        """
        left = self.names.disconnect(peer)
        for name in reversed(left) if first_first else left:
            self._leave_queue(name, peer)

    def _leave_queue(self, name: str, peer: int) -> None:
        leave = partial(self.relay.leave_queue, name, peer)
        self.guard.run(leave, lambda error: leave())

    def state_queue(self, name: str, queue: Sequence[int]) -> None:
        """Tell the data plane the owner of a name; once more if that raises, for the registry has it already.

        Should the two disagree, a message to the name would go to and fro between them.
        """
        again = partial(self.relay.set_queue, name, queue)
        self.guard.run(again, lambda error: again())

    def in_bits(self, call: Call, steps: Iterator[None]) -> None:
        """Answer a call in steps, between which others get their turn; small ones are over at once.

        Nothing more is done once the caller is gone: its message goes with it.
        """

        def go_on() -> None:
            if call.waits and self.peers.get(call.peer.id) is call.peer:
                for _ in steps:
                    self.tools.later(0.0, go_on, call.failed)
                    break

        go_on()

    def reload(self, call: Call) -> None:
        """Read the configuration again; the call is answered when that is done."""

        def answer(why: ReloadFailure | None) -> None:
            if why is None:
                call.reply_body(b"")  # also if none is expected, as the reference does
            else:
                missing = isinstance(why, ConfigError) and why.missing
                call.fail(DBusError(errors.FILE_NOT_FOUND if missing else errors.FAILED, str(why)))

        self.on_reload(answer, call.failed)

    def reloaded(self, settings: Settings) -> None:
        """Put new settings in force, or raise what ``configure`` raises; who does this commits it."""
        self.configure(settings)
        self.peers.limits = settings.limits
        self.activation.configure(settings)
        for warning in settings.warnings:
            self._say(str(warning), CONFIG_FILE=warning.file, CONFIG_LINE=warning.line or None)
        self.guard.run(lambda: self.log.info("Reloaded configuration", MESSAGE_ID=RELOADED), ignored)
        self.guard.run(self.announce_services, ignored)

    def reload_failed(self, failure: ReloadFailure) -> None:
        """Stay with the old settings."""
        file, line = (failure.file, failure.line) if isinstance(failure, ConfigError) else (None, None)
        text = f"Unable to reload configuration: {failure}"
        self._say(text, MESSAGE_ID=RELOAD_FAILED, CONFIG_FILE=file, CONFIG_LINE=line or None)
        # The directories may have changed all the same.
        self.guard.run(self.announce_services, ignored)

    def _say(self, text: str, **fields: Field) -> None:
        """Write a warning that is not worth failing for."""
        self.guard.run(lambda: self.log.warning(text, **fields), ignored)

    def announce_services(self) -> None:
        """Say that other services than before may be there to be started."""
        self.relay.signal(BROADCAST, BUS_PATH, BUS_NAME, "ActivatableServicesChanged", "", b"")

    def _log(self, event: Event) -> None:
        text = event.body.decode("utf-8", "replace")
        if event.destination is None:
            self.log.event(event.type, text)
            return
        peer = self.peers.get(event.peer)
        sender = None if peer is None else peer.unique_name
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
        """Take note of a connection that the data plane has let in."""
        arrival = event.arrival
        who = arrival.who
        peer = self.peers.add(
            event.peer,
            Credentials(who.uid, who.pid, who.gids, arrival.label, who.loginfo),
            fd_passing=who.fd_passing,
            privileged=who.privileged,
            at_console=who.at_console,
        )
        if event.active:
            self.peers.activate(peer)

    def _called(self, event: Event) -> None:
        peer = self.peers[event.peer]
        if event.type == METHOD_CALL:
            call = Call(self.relay, peer, event)
            try:
                self._call(call)
            except Exception as error:
                self.guard.failed(error, call.failed)
        else:
            self._told(peer, event)

    def _call(self, call: Call) -> None:
        try:
            reply = self.driver.handle(self, call)
        except TooManyConnections as error:
            self.log.recurrent(error.limit, f"{error.text} ({error.limit}={error.value})")
            raise
        if reply is not None:
            call.reply(*reply.values, fds=reply.fds)

    def _told(self, peer: Peer, event: Event) -> None:
        """Take a signal, or a reply to a call of the bus's own."""
        try:
            self.activation.told(peer, event)
        except DBusError as error:
            self.relay.error(event.peer, event.serial, error.name, error.text)
        self.relay.resume(event.peer)

    def _parked(self, event: Event) -> None:
        """Find an owner for a message: one that the name has by now, or one that can be started."""
        if self.owner(event.destination or "") is not None:
            self.relay.deliver(event.parked)
        elif event.flags & NO_AUTO_START:
            text = f'Name "{event.destination}" does not exist'
            self.relay.reject(event.parked, errors.NAME_HAS_NO_OWNER, text)
        else:
            self.activation.park(self.peers[event.peer], event)

    def _named(self, event: Event) -> None:
        """Note that a connection was given a name that was free; twice is as good as once."""
        name = event.destination or ""
        assert self.names.owner(name) in (None, event.peer), name
        self.names.request(name, event.peer, event.flags)
        self.activation.appeared(name)

    def _released(self, event: Event) -> None:
        """Note that a connection has given up a name that no other wanted; twice is as good as once."""
        name = event.destination or ""
        assert self.names.queue(name) in ((), (event.peer,)), name
        self.names.release(name, event.peer)

    def _welcomed(self, event: Event) -> None:
        """Note that Hello was answered."""
        self.peers.activate(self.peers[event.peer])

    def _gone(self, event: Event) -> None:
        peer = self.peers.get(event.peer)
        if peer is None:
            self.relay.forget(event.peer)  # one of which no note could be taken
            return
        if peer.monitor:
            self.log.info(f"Monitoring connection {peer.unique_name} closed.")
        self.leave_queues(peer.id)
        self.guard.run(partial(self.activation.gone, peer), ignored)
        self.relay.forget(peer.id)
        self.peers.remove(peer)

    def _left(self, event: Event) -> None:
        """Note that a connection is gone that owned and owed nothing."""
        peer = self.peers.get(event.peer)
        if peer is not None:
            self.peers.remove(peer)

    # What ends an event whose handler has raised something (``guard.py``).

    def _nothing(self, event: Event, error: Exception) -> None:
        """Nothing waits for it."""

    def _not_called(self, event: Event, error: Exception) -> None:
        if event.type == METHOD_CALL:
            answer = failure(error)
            self.relay.error(event.peer, event.serial, answer.name, answer.text)
        self.guard.run(partial(self.activation.not_told, event), ignored)
        self.relay.resume(event.peer)

    def _not_parked(self, event: Event, error: Exception) -> None:
        answer = failure(error)
        self.relay.reject(event.parked, answer.name, answer.text)

    def _not_exported(self, event: Event, error: Exception) -> None:
        self.statistics.lost(error)

    def _disconnect(self, event: Event, error: Exception) -> None:
        """End a connection of which the control plane does not know what it should."""
        self.relay.disconnect(event.peer)

    def _forget(self, event: Event, error: Exception) -> None:
        """Do what ``_gone`` has not done yet."""
        self.leave_queues(event.peer)
        peer = self.peers.get(event.peer)
        if peer is not None:
            self.guard.run(partial(self.activation.gone, peer), ignored)
            self.peers.remove(peer)
        self.relay.forget(event.peer)

    def _close(self, event: Event, error: Exception) -> None:
        """Close a connection that was handed up, and that nothing has taken over."""
        for fd in (event.fd, *event.fds):
            os.close(fd)
        self.relay.settled()
