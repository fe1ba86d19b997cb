"""The starts of services, and the answers to the parties that wait for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...policy.settings import Settings
from ...transport.relay import Event
from .. import errors, signature
from ..codec import read_body
from ..driver.method import BUS_NAME, Call
from ..errors import DBusError
from ..guard import failure, ignored
from ..logging import ACTIVATED, ACTIVATING, ACTIVATION_FAILED
from ..peers import Peer
from . import failures, systemd
from .catalog import Catalog
from .command_line import InvalidCommandLine, split
from .environment import Environment
from .helper import helper_command
from .services import Services
from .start import Start
from .tools import CannotExecute, CannotFork, Program, Tools
from .units import Units
from .waiters import DriverMessage, ParkedMessage, StartCall, StartReply, Waiter

if TYPE_CHECKING:
    from ..bus import Bus


class Activation:
    """All starts in progress, by the bus name that is awaited.

    A start looks the name up in the service directories; then callers whose policy forbids the message are
    refused (the data plane has judged it, by the future name of the service), and the service is spawned or
    requested from systemd. It ends when the name has an owner, or with an error.
    """

    def __init__(self, bus: Bus, tools: Tools, environment: Environment) -> None:
        self._bus = bus
        self._guard = bus.guard
        self._tools = tools
        self.environment = environment
        self._starts: dict[str, Start] = {}
        self._waiting = 0
        self._services = Services(bus.relay, tools, bus.log, bus.guard, bus.announce_services)
        self.units = Units(bus.relay, tools, self._is_systemd_there, self._unit_failed)

    @property
    def starts(self) -> Collection[Start]:
        """All starts in progress."""
        return self._starts.values()

    def configure(self, settings: Settings) -> None:
        """Use the service directories of a configuration."""
        self._services.configure(settings.service_dirs, helper=settings.servicehelper is not None)

    # Requests of clients.

    def park(self, peer: Peer, event: Event) -> None:
        """Start the recipient of a parked message; the message is answered in any case."""
        waiter = ParkedMessage(peer, event.parked, event.denied)
        self._ask(event.destination or "", waiter, current=event.current)

    def start_by_name(self, call: Call) -> None:
        """Start a service, and answer StartServiceByName with the result."""
        name: str = call.args[0]
        waiter, current = StartCall(call), call.message.current
        if self._bus.owner(name) is None:
            self._ask(name, waiter, current=current)
        elif self._needs_no_file(name):
            waiter.reply(StartReply.ALREADY_RUNNING)
        elif self._waiting >= self._limit:
            waiter.fail(self._bus.relay, failures.too_many_starts(name, self._limit))
        else:
            self._services.ask(partial(self._running, name, waiter), call.failed, current=current)

    def list_names(self, call: Call) -> None:
        """Answer ListActivatableNames from the present contents of the directories."""
        self._services.ask(
            lambda catalog: call.reply_body(catalog.names()), call.failed, current=call.message.current
        )

    def update_environment(self, variables: Mapping[str, str]) -> None:
        """Set variables for services that are started from now on, by systemd, too; raises DBusError."""
        if self._bus.systemd_activation:
            owner = self._bus.owner(systemd.MANAGER_NAME)
            # As in the reference: addressed by the well-known name only while that has no owner.
            destination = systemd.MANAGER_NAME if owner is None else owner.unique_name
            self._send_to_systemd(systemd.set_environment(variables, destination))
        self.environment.update(variables)
        self._bus.changed = True

    # Events.

    def name_acquired(self, name: str) -> None:
        """Complete the start of a name that has an owner now: answer calls, then deliver messages."""
        start = self._starts.get(name)
        if start is not None:
            self._guard.run(partial(self._succeed, start), partial(self._abort, start))

    def _succeed(self, start: Start) -> None:
        if start.running:
            self._bus.history.n_starts_done += 1
            text = f"Successfully activated service '{start.name}'"
            self._bus.log.info(text, MESSAGE_ID=ACTIVATED, DBUS_SERVICE=start.name)
        for waiter in sorted(self._close(start), key=lambda one: not isinstance(one, StartCall)):
            self._guard.run(partial(waiter.succeed, self._bus.relay), partial(waiter.lose, self._bus.relay))

    def gone(self, peer: Peer) -> None:
        """Drop the messages of a lost connection; the starts that it has requested continue."""
        error = DBusError(errors.FAILED, "The sender has disconnected")
        for start in self._starts.values():
            lost, judged = start.leave(peer)
            self._count(-judged)
            self._fail_all(lost, error)
        if self._bus.owner(systemd.MANAGER_NAME) is None:
            self.units.manager_gone()

    def receive(self, peer: Peer, event: Event) -> None:
        """Handle a signal or a reply that a peer sends to the bus; raises DBusError."""
        if event.reply_serial:
            self.units.answered(event.reply_serial, event)
        elif event.interface == systemd.ACTIVATOR_INTERFACE and event.member == "ActivationFailure":
            self._receive_failure(peer, event)

    def receive_failed(self, event: Event) -> None:
        """Handle a failed ``receive``: a unit whose state is unknown is left to its time-out."""
        if event.reply_serial:
            self.units.answered(event.reply_serial, None)

    def _receive_failure(self, peer: Peer, event: Event) -> None:
        self._bus.driver.check_privileged(self._bus, peer, "ActivationFailure")
        log = self._bus.log
        if self._bus.owner(systemd.MANAGER_NAME) is not peer:
            log.security(
                f"Ignoring forged ActivationFailure message from connection {peer.unique_name}"
                f" ({peer.credentials.loginfo})"
            )
        elif not self._bus.systemd_activation:
            log.warning("Ignoring unexpected ActivationFailure message while not using systemd activation")
        elif not event.signature.startswith("sss"):
            log.warning(f"Ignoring ActivationFailure message with wrong args ({event.signature})")
        else:
            unit, name, text = read_body("sss", event.body_view, event.big_endian)
            valid = signature.is_error_name(name)
            self._unit_failed(unit, DBusError(name if valid else errors.SPAWN_FAILED, text))

    # The life of a start.

    @property
    def _limit(self) -> int:
        return self._bus.limits.max_pending_service_starts

    def _count(self, change: int) -> None:
        """Note that more or fewer parties wait for starts; the data plane enforces the limit, too."""
        self._waiting += change
        if change:
            self._guard.run(lambda: self._bus.relay.count_starts(self._waiting), ignored)
            self._bus.changed = True

    def _ask(self, name: str, waiter: Waiter, *, current: bool = False) -> None:
        """Add a waiter for a name; ``current``: the catalogue need not be read again."""
        start = self._starts.get(name)
        if self._waiting >= self._limit:
            waiter.fail(self._bus.relay, failures.too_many_starts(name, self._limit))
        elif start is None:
            self._open(name, waiter, current)
        elif start.running:
            self._join(start, waiter)
            self._begun(start, waiter)
        else:
            start.unjudged.append(waiter)

    def _open(self, name: str, waiter: Waiter, current: bool) -> None:
        start = Start(name)
        start.unjudged.append(waiter)
        self._starts[name] = start
        self._bus.changed = True
        # From here on an exception fails the start.
        self._guard.run(partial(self._find, start, current), partial(self._abort, start))

    def _find(self, start: Start, current: bool) -> None:
        """Look up the service that provides the name."""
        timeout = self._bus.limits.service_start_timeout / 1000
        self._wait(start, timeout)
        if self._needs_no_file(start.name):
            start.running = True
            self._judge(start)
            self._begin_all(start)
        else:
            self._services.ask(partial(self._found, start), partial(self._abort, start), current=current)

    def _wait(self, start: Start, seconds: float) -> None:
        """Wait for the owner of the name, for as long."""
        start.deadline = self._tools.now() + seconds
        start.timer = self._tools.later(seconds, partial(self._timed_out, start), partial(self._abort, start))
        self._bus.relay.await_name(start.name, True)

    def adopt(self, start: Start, child: int | None) -> None:
        """Go on with a start that the previous program has begun (``upgrade/``); ``child`` is its pid."""
        self._starts[start.name] = start
        self._count(len(start.waiters))
        self._wait(start, start.deadline - self._tools.now())
        if child is not None:
            self._guard.run(partial(self._adopt, start, child), partial(self._abort, start))

    def _adopt(self, start: Start, child: int) -> None:
        start.child = self._tools.adopt(child, partial(self._ended, start), partial(self._abort, start))

    def _found(self, start: Start, catalog: Catalog) -> None:
        """Continue with the catalogue, unless the name has an owner or the start has timed out meanwhile."""
        if self._starts.get(start.name) is not start:
            return
        start.service = catalog.services.get(start.name)
        if start.service is None:
            self._fail(start, failures.unknown_service(start.name))
            return
        start.running = True
        self._judge(start)
        if not start.waiters:
            self._close(start)
            return
        try:
            self._begin(start)
        except DBusError as error:
            self._fail(start, error)
        self._begin_all(start)

    def _judge(self, start: Start) -> None:
        """Queue the callers that limit and policy allow; an exception affects one of them only."""
        while start.unjudged:
            self._join(start, start.unjudged[0])
            start.unjudged.popleft()

    def _join(self, start: Start, waiter: Waiter) -> None:
        """Queue a waiter for a service that is being started, if limit and policy allow it."""
        if self._waiting >= self._limit:
            waiter.fail(self._bus.relay, failures.too_many_starts(start.name, self._limit))
        elif isinstance(waiter, ParkedMessage) and waiter.denied and start.service is not None:
            waiter.succeed(self._bus.relay)
        else:
            start.waiters.append(waiter)
            self._count(1)

    def _begin_all(self, start: Start) -> None:
        for waiter in list(start.waiters):
            self._guard.run(partial(waiter.begun, self._bus.relay), ignored)

    def _begun(self, start: Start, waiter: Waiter) -> None:
        if waiter in start.waiters:
            waiter.begun(self._bus.relay)

    def _begin(self, start: Start) -> None:
        if self._bus.systemd_activation and start.unit is not None:
            self._start_unit(start, start.unit)
        else:
            self._spawn(start)

    def _spawn(self, start: Start) -> None:
        """Start the program of the service, or the launch helper; raises DBusError."""
        assert start.service is not None
        command, suffix, helper = start.service.exec, "", self._bus.settings.servicehelper
        if helper is not None:
            command, suffix = helper_command(helper, start.name)
            if start.service.user is None:
                raise failures.no_user()
        try:
            program = Program(start.name, split(command), self.environment.for_program())
        except InvalidCommandLine as error:
            raise DBusError(errors.INVALID_ARGS, str(error)) from error
        text = f"Activating service name='{start.name}' {_requested_by(start)}{suffix}"
        self._bus.log.info(text, MESSAGE_ID=ACTIVATING, DBUS_SERVICE=start.name)
        try:
            start.child = self._tools.spawn(program, partial(self._ended, start), partial(self._abort, start))
        except CannotFork as error:
            failure = failures.cannot_fork(error)
            self._log_failure(start, f"Failed to activate service {start.name}: {failure.text}")
            raise failure from error
        except CannotExecute as error:
            self._program_failed(start, failures.cannot_execute(start.name, error))

    def _ended(self, start: Start, status: int) -> None:
        start.child = None
        self._bus.changed = True
        helper = self._bus.settings.servicehelper is not None
        error = failures.child_ended(start.name, status, helper=helper)
        if error is not None and self._starts.get(start.name) is start:
            self._program_failed(start, error)

    def _program_failed(self, start: Start, error: DBusError) -> None:
        """Fail all starts that wait for the same program."""
        self._log_failure(start, f"Activated service '{start.name}' failed: {error.text}")
        for other in list(self._starts.values()):
            if other is not start and other.running and other.exec == start.exec:
                self._fail(other, error)
        self._fail(start, error)

    def _log_failure(self, start: Start, text: str) -> None:
        self._bus.log.info(text, MESSAGE_ID=ACTIVATION_FAILED, DBUS_SERVICE=start.name)

    def _timed_out(self, start: Start) -> None:
        if start.child is not None:
            start.child.kill()
        error = failures.timed_out(start.name, self._bus.limits.service_start_timeout)
        self._bus.log.warning(error.text, MESSAGE_ID=ACTIVATION_FAILED, DBUS_SERVICE=start.name)
        self._fail(start, error)

    def _running(self, name: str, waiter: StartCall, catalog: Catalog) -> None:
        """Answer a call for a name that has an owner: "already running" only for a service with a file."""
        if name not in catalog.services:
            waiter.fail(self._bus.relay, failures.unknown_service(name))
        else:
            waiter.reply(StartReply.ALREADY_RUNNING)

    # The end of a start.

    def _abort(self, start: Start, error: Exception) -> None:
        """Fail a start because of an exception (``guard.py``), unless it has ended."""
        if self._starts.get(start.name) is start:
            self._fail(start, failure(error))
        else:
            self._fail_all(start.take(), failure(error))

    def _fail(self, start: Start, error: DBusError) -> None:
        self._guard.run(partial(self._bus.history.failed, start, error), ignored)
        self._fail_all(self._close(start), error)

    def _fail_all(self, waiters: Sequence[Waiter], error: DBusError) -> None:
        for waiter in waiters:
            self._guard.run(
                partial(waiter.fail, self._bus.relay, error), partial(waiter.lose, self._bus.relay)
            )

    def _close(self, start: Start) -> list[Waiter]:
        """End a start; return the waiters to answer."""
        del self._starts[start.name]
        self._bus.changed = True
        self._count(-len(start.waiters))
        waiters = start.take()
        self._guard.run(partial(self._bus.relay.await_name, start.name, False), ignored)
        self._guard.run(partial(self._clear, start), ignored)
        return waiters

    def _clear(self, start: Start) -> None:
        """Cancel the timer and the watch of a start."""
        if start.timer is not None:
            start.timer.cancel()
        if start.unit is not None and all(other.unit != start.unit for other in self._starts.values()):
            self.units.forget(start.unit)

    # systemd

    def _needs_no_file(self, name: str) -> bool:
        """Return True for systemd's own name, which appears without being started."""
        return self._bus.systemd_activation and name == systemd.MANAGER_NAME

    def _is_systemd_there(self) -> bool:
        return systemd.is_systemd(self._bus.owner(systemd.MANAGER_NAME))

    def _start_unit(self, start: Start, unit: str) -> None:
        there = self._bus.owner(systemd.MANAGER_NAME) is not None
        how = "Activating via systemd" if there else "Activating systemd to hand-off"
        text = f"{how}: service name='{start.name}' unit='{unit}' {_requested_by(start)}"
        self._bus.log.info(text, MESSAGE_ID=ACTIVATING, DBUS_SERVICE=start.name, UNIT=unit)
        try:
            self._send_to_systemd(self.request(unit))
        except DBusError:
            text = f"Failed to activate via systemd: service name='{start.name}' unit='{unit}'"
            self._log_failure(start, text)
            raise

    def request(self, unit: str) -> DriverMessage:
        """Return the message that requests the start of a unit, which is watched once it is sent."""
        return systemd.activation_request(
            unit, lambda: self._watch(unit), lambda error: self._unit_failed(unit, error)
        )

    def _send_to_systemd(self, message: DriverMessage) -> None:
        """Send a message to systemd, once it is connected; raises DBusError."""
        if self._bus.owner(systemd.MANAGER_NAME) is not None:
            message.succeed(self._bus.relay)
        elif self._waiting >= self._limit:
            raise failures.too_many_starts(systemd.MANAGER_NAME, self._limit)
        else:
            self._ask(systemd.MANAGER_NAME, message.show(self._bus.relay))

    def _watch(self, unit: str) -> None:
        """Watch the unit that systemd has just been asked to start."""
        if any(start.unit == unit for start in self._starts.values()):
            self.units.watch(unit)

    def _unit_failed(self, unit: str, error: DBusError) -> None:
        text = f"Activation via systemd failed for unit '{unit}': {error.text}"
        self._bus.log.info(text, MESSAGE_ID=ACTIVATION_FAILED, UNIT=unit)
        for start in list(self._starts.values()):
            if start.running and start.unit == unit:
                self._fail(start, error)


def _requested_by(start: Start) -> str:
    peer = start.waiters[0].peer
    name, loginfo = (BUS_NAME, "bus") if peer is None else (peer.unique_name, peer.credentials.loginfo)
    return f"requested by '{name}' ({loginfo})"
