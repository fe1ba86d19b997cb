"""The control plane: decides what the data plane reports, and never waits for anything."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from ..policy.error import ConfigError
from ..policy.evaluate import ClientPolicy, Identity, Policy
from ..policy.settings import Settings
from . import errors
from .activation.activation import Activation
from .activation.environment import Environment
from .activation.tools import NoTools, Tools
from .codec import make_body
from .credentials import Credentials
from .driver import BUS_NAME, BUS_PATH, Call, Driver, Method, Reply
from .driver.method import METHOD_CALL, NO_AUTO_START, NO_REPLY_EXPECTED
from .errors import DBusError
from .logging import DENIED, RELOAD_FAILED, RELOADED, Log
from .machine_id import read_machine_id
from .names import NameRegistry
from .peers import Peer, Peers, TooManyConnections
from .plane import EVERYBODY, DataPlane, Event, EventKind
from .statistics import Statistics

ReloadFailure = ConfigError | OSError
Reloaded = Callable[[ReloadFailure | None], None]
"""Is told that a reload is over, and why it failed."""


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
        self.statistics = Statistics(relay, log)
        self.on_handed_up: Callable[[Event], None] = lambda event: None
        self.on_reload: Callable[[Reloaded], None] = lambda told: None
        # By plain numbers: members of an enumeration are slow as keys.
        self._handlers: dict[int, Callable[[Event], None]] = {
            EventKind.CALL.value: self._called,
            EventKind.PARKED.value: self._parked,
            EventKind.GONE.value: self._gone,
            EventKind.EXPORT.value: self.statistics.told,
            EventKind.LOG.value: self._log,
            EventKind.WELCOMED.value: lambda event: self.peers.activate(self.peers[event.peer]),
            EventKind.ADMITTED.value: self._admitted,
            EventKind.LEFT.value: lambda event: self.peers.remove(self.peers[event.peer]),
            EventKind.HANDED_UP.value: lambda event: self.on_handed_up(event),
            EventKind.NAMED.value: self._named,
            EventKind.RELEASED.value: self._released,
        }
        self.configure(settings)
        self.peers = Peers(self.limits)
        self.activation = Activation(self, tools or NoTools(), environment or Environment({}, "", None))
        self.activation.configure(settings)

    def configure(self, settings: Settings, policy: Policy | None = None) -> None:
        """Put limits and policy in force, for those who are connected too; raises ValueError or MemoryError.

        ``policy`` is that of the settings, if it has been read already.
        """
        policy = policy or Policy.from_block(settings.policy)
        # What may fail comes first.
        self.relay.load_policy(settings.policy)
        self.relay.set_limits(settings.limits)
        self.settings = settings
        self.limits = settings.limits
        self.policy = policy
        self._client_policies: dict[Identity, ClientPolicy] = {}

    @property
    def is_system(self) -> bool:
        """True if services are started through a helper program that changes the user."""
        return self.settings.servicehelper is not None

    def machine_id(self) -> str:
        """Return the machine's id."""
        try:
            return read_machine_id()
        except OSError as error:
            raise DBusError(errors.FILE_NOT_FOUND, str(error)) from error

    def owner(self, name: str) -> Peer | None:
        """Return the connection that has this name, unique or well-known."""
        if name.startswith(":"):
            return self.peers.by_name(name)
        owner = self.names.owner(name)
        return None if owner is None else self.peers[owner]

    def policy_of(self, peer: Peer) -> ClientPolicy:
        """Return the policy for a connection."""
        policy = self._client_policies.get(peer.identity)
        if policy is None:
            policy = self._client_policies[peer.identity] = self.policy.for_identity(peer.identity)
        return policy

    def can_own(self, peer: Peer, name: str) -> bool:
        """Ask the policy whether ``peer`` may have a well-known name."""
        return bool(self.policy_of(peer).can_own(name))

    def dispatch(self) -> None:
        """Handle what the data plane reports; the answers to all of it go down as one batch."""
        for event in self.relay.events():
            try:
                self._handle(event)
            except Exception:
                # The events behind it are other people's.
                self.log.warning(traceback.format_exc())
        self.relay.commit()

    def welcome(self, peer: Peer, serial: int) -> None:
        """Answer Hello; the sender goes on by this."""
        self.relay.welcome(peer.id, serial)
        self.peers.activate(peer)

    def reload(self, call: Call) -> None:
        """Read the configuration again; the call is answered when that is done."""

        def answer(failure: ReloadFailure | None) -> None:
            if failure is None:
                self.relay.reply(call.peer.id, call.serial, "", b"")
            else:
                missing = isinstance(failure, ConfigError) and failure.missing
                name = errors.FILE_NOT_FOUND if missing else errors.FAILED
                self.relay.error(call.peer.id, call.serial, name, str(failure))
            self.relay.resume(call.peer.id)

        self.on_reload(answer)

    def reloaded(self, settings: Settings, policy: Policy | None = None) -> None:
        """Put new settings in force, or raise what ``configure`` raises; who does this commits it."""
        for warning in settings.warnings:
            self.log.warning(str(warning), CONFIG_FILE=warning.file, CONFIG_LINE=warning.line or None)
        self.configure(settings, policy)
        self.peers.limits = settings.limits
        self.activation.configure(settings)
        self.log.info("Reloaded configuration", MESSAGE_ID=RELOADED)
        self.announce_services()

    def reload_failed(self, failure: ReloadFailure) -> None:
        """Stay with the old settings."""
        file, line = (failure.file, failure.line) if isinstance(failure, ConfigError) else (None, None)
        self.log.warning(
            f"Unable to reload configuration: {failure}",
            MESSAGE_ID=RELOAD_FAILED,
            CONFIG_FILE=file,
            CONFIG_LINE=line or None,
        )
        # The directories may have changed all the same.
        self.announce_services()

    def announce_services(self) -> None:
        """Say that other services than before may be there to be started."""
        self.relay.signal(EVERYBODY, BUS_PATH, BUS_NAME, "ActivatableServicesChanged", "", b"")

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
            DBUS_SENDER=BUS_NAME if event.peer == EVERYBODY else sender,
            DBUS_DESTINATION=event.destination,
            CONFIG_FILE=event.path,
            CONFIG_LINE=event.serial if event.path else None,
        )

    def _handle(self, event: Event) -> None:
        handler = self._handlers.get(event.kind)
        if handler is not None:
            handler(event)

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
        if event.type == METHOD_CALL:
            self._call(event)
        else:
            self._told(event)

    def _call(self, event: Event) -> None:
        peer = self.peers[event.peer]
        try:
            method, reply = self.driver.handle(self, peer, event)
        except DBusError as error:
            if isinstance(error, TooManyConnections):
                self.log.recurrent(error.limit, f"{error.text} ({error.limit}={error.value})")
            self.relay.error(peer.id, event.serial, error.name, error.text)
            self.relay.resume(peer.id)
        except Exception:
            # Whatever went wrong, nobody may stay stopped for it.
            self.log.warning(traceback.format_exc())
            self.relay.error(peer.id, event.serial, errors.FAILED, "The message bus failed to answer")
            self.relay.resume(peer.id)
        else:
            if reply is not None:
                self._reply(event, method, reply)

    def _reply(self, event: Event, method: Method, reply: Reply) -> None:
        # The reference withholds only replies that say nothing but "done".
        if method.outputs or not event.flags & NO_REPLY_EXPECTED:
            body = make_body(method.outputs, reply.values)
            self.relay.reply(event.peer, event.serial, method.outputs, body, reply.fds)
        self.relay.resume(event.peer)

    def _told(self, event: Event) -> None:
        """Take a signal, or a reply to a call of the bus's own."""
        try:
            self.activation.told(self.peers[event.peer], event)
        except DBusError as error:
            self.relay.error(event.peer, event.serial, error.name, error.text)
        except Exception:
            self.log.warning(traceback.format_exc())
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
        """Note that a connection was given a name that was free."""
        name = event.destination or ""
        if self.names.owner(name) is not None:
            self._disagree(name)
            return
        self.names.request(name, event.peer, event.flags)
        self.activation.appeared(name)

    def _released(self, event: Event) -> None:
        """Note that a connection has given up a name that nobody else wanted."""
        name = event.destination or ""
        if self.names.queue(name) != (event.peer,):
            self._disagree(name)
            return
        self.names.release(name, event.peer)

    def _disagree(self, name: str) -> None:
        """Say whose the name is: the data plane has answered a call that it should have handed up."""
        self.log.warning(f'The data plane was wrong about the owners of "{name}"')
        self.relay.set_queue(name, self.names.queue(name))

    def _gone(self, event: Event) -> None:
        peer = self.peers[event.peer]
        if peer.monitor:
            self.log.info(f"Monitoring connection {peer.unique_name} closed.")
        for name, queue in self.names.disconnect(peer.id):
            self.relay.set_queue(name, queue)
        self.activation.gone(peer)
        self.relay.forget(peer.id)
        self.peers.remove(peer)
