"""The starts of services, and the answers to the parties that wait for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...policy.settings import Settings
from ...transport.relay import Event, Module
from .. import errors
from ..driver.method import Call
from ..errors import DBusError
from ..guard import failure, ignored
from ..logging import ACTIVATED, ACTIVATING, ACTIVATION_FAILED
from ..peers import Peer
from . import failures, systemd
from .catalog import Catalog
from .command_line import InvalidCommandLine, split
from .environment import Environment
from .helper import helper_command
from .manager import Manager, requested_by
from .services import Services
from .start import Start
from .tools import CannotExecute, CannotFork, Program, Tools
from .waiters import ParkedMessage, StartCall, StartReply, Waiter

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
        self.manager = Manager(bus, tools, self)
        self.units = self.manager.units

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
        # AppArmor is asked about the label of the service file, of which the data plane may not know yet.
        judged = event.current or event.again or Module.AppArmor not in self._bus.relay.mediated
        waiter = ParkedMessage(peer, event.parked, event.denied, judged)
        self.ask(event.destination or "", waiter, current=event.current)

    def start_by_name(self, call: Call) -> None:
        """Start a service, and answer StartServiceByName with the result."""
        name: str = call.args[0]
        waiter, current = StartCall(call), call.message.current
        if self._bus.owner(name) is None:
            self.ask(name, waiter, current=current)
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
            self.manager.set_environment(variables)
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
        if self.manager.peer is None:
            self.units.manager_gone()

    def receive(self, peer: Peer, event: Event) -> None:
        """Handle a signal or a reply that a peer sends to the bus; raises DBusError."""
        if event.reply_serial:
            self.units.answered(event.reply_serial, event)
        elif event.interface == systemd.ACTIVATOR_INTERFACE and event.member == "ActivationFailure":
            self.manager.receive_failure(peer, event)

    def receive_failed(self, event: Event) -> None:
        """Handle a failed ``receive``: a unit whose state is unknown is left to its time-out."""
        if event.reply_serial:
            self.units.answered(event.reply_serial, None)

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

    def check_limit(self, name: str) -> None:
        """Raise DBusError if nothing more may wait for a start, here of ``name``."""
        if self._waiting >= self._limit:
            raise failures.too_many_starts(name, self._limit)

    def ask(self, name: str, waiter: Waiter, *, current: bool = False) -> None:
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
        start.child = self._tools.adopt(child, partial(self._reaped, start), partial(self._abort, start))

    def _found(self, start: Start, catalog: Catalog) -> None:
        """Continue with the catalogue, unless the name has an owner or the start has timed out meanwhile."""
        if self._starts.get(start.name) is not start:
            return
        start.service = catalog.services.get(start.name)
        if start.service is None:
            self.fail(start, failures.unknown_service(start.name))
            return
        start.running = True
        self._judge(start)
        if not start.waiters:
            self._close(start)
            return
        try:
            self._begin(start)
        except DBusError as error:
            self.fail(start, error)
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
        elif isinstance(waiter, ParkedMessage) and waiter.is_to_be_judged and start.service is not None:
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
        """Start a service; raises DBusError."""
        unit = start.unit
        if unit is not None and self._bus.systemd_activation:
            self.manager.start_unit(start, unit)
            return
        program = self.program(start)
        try:
            if self._bus.systemd_activation:
                self.manager.run(start, program)
            else:
                self._spawn(start, program)
        except CannotExecute as error:
            self.program_failed(start, failures.cannot_execute(start.name, error))

    def program(self, start: Start) -> Program:
        """Return the program of a service, or the launch helper for it; raises DBusError."""
        assert start.service is not None
        command, how, helper = start.service.exec, "", self._bus.settings.servicehelper
        if helper is not None:
            command, how = helper_command(helper, start.name)
            if start.service.user is None:
                raise failures.no_user()
        try:
            return Program(start.name, split(command), self.environment.for_program(), how)
        except InvalidCommandLine as error:
            raise DBusError(errors.INVALID_ARGS, str(error)) from error

    def _spawn(self, start: Start, program: Program) -> None:
        """Start a program as a child of the bus; raises DBusError or CannotExecute."""
        text = f"Activating service name='{start.name}' {requested_by(start)}{program.how}"
        self._bus.log.info(text, MESSAGE_ID=ACTIVATING, DBUS_SERVICE=start.name)
        try:
            start.child = self._tools.spawn(
                program, partial(self._reaped, start), partial(self._abort, start)
            )
        except CannotFork as error:
            failure = failures.cannot_fork(error)
            self.log_failure(start, f"Failed to activate service {start.name}: {failure.text}")
            raise failure from error

    def _reaped(self, start: Start, status: int) -> None:
        start.child = None
        self._bus.changed = True
        self.ended(start, status)

    def ended(self, start: Start, status: int) -> None:
        """Fail a start whose program has ended with a wait(2) status that is an error."""
        helper = self._bus.settings.servicehelper is not None
        error = failures.child_ended(start.name, status, helper=helper)
        if error is not None and self._starts.get(start.name) is start:
            self.program_failed(start, error)

    def program_failed(self, start: Start, error: DBusError) -> None:
        """Fail all starts that wait for the same program."""
        self.log_failure(start, f"Activated service '{start.name}' failed: {error.text}")
        for other in list(self._starts.values()):
            if other is not start and other.running and other.exec == start.exec:
                self.fail(other, error)
        self.fail(start, error)

    def log_failure(self, start: Start, text: str) -> None:
        """Log that a start has failed."""
        self._bus.log.info(text, MESSAGE_ID=ACTIVATION_FAILED, DBUS_SERVICE=start.name)

    def _timed_out(self, start: Start) -> None:
        if start.child is not None:
            start.child.kill()
        if start.transient is not None:
            self.manager.kill(start.transient)
        error = failures.timed_out(start.name, self._bus.limits.service_start_timeout)
        self._bus.log.warning(error.text, MESSAGE_ID=ACTIVATION_FAILED, DBUS_SERVICE=start.name)
        self.fail(start, error)

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
            self.fail(start, failure(error))
        else:
            self._fail_all(start.take(), failure(error))

    def fail(self, start: Start, error: DBusError) -> None:
        """Fail a start: answer all that wait for it."""
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
        """Cancel the timer and the watch of a start, and let its transient unit go."""
        if start.timer is not None:
            start.timer.cancel()
        if start.unit is not None and all(other.unit != start.unit for other in self._starts.values()):
            self.units.forget(start.unit)
        if start.transient is not None:
            self.manager.release(start.transient)

    def _needs_no_file(self, name: str) -> bool:
        """Return True for systemd's own name, which appears without being started."""
        return self._bus.systemd_activation and name == systemd.MANAGER_NAME
