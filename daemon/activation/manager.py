"""systemd as the starter of services: units that service files name, and transient ones for programs."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from ...transport.relay import Event
from .. import errors
from ..codec import read_body
from ..driver.method import BUS_NAME
from ..errors import DBusError
from ..logging import ACTIVATING, ACTIVATION_FAILED
from ..peers import Peer
from ..signature import is_error_name
from . import failures, systemd
from .start import Start
from .tools import Program, Tools
from .transient import NOT_EXECUTED, keeper, request, unit_name, why_not_executed
from .units import Units
from .waiters import DriverMessage

if TYPE_CHECKING:
    from ..bus import Bus
    from .activation import Activation


class Manager:
    """The owner of systemd's name, as activation uses it.

    It may connect later than its clients call: what it is to do waits for its name like any message.
    """

    def __init__(self, bus: Bus, tools: Tools, activation: Activation) -> None:
        self._bus = bus
        self._tools = tools
        self._activation = activation
        self.units = Units(bus.relay, tools, self._is_systemd, self._unit_failed, self._ended)

    @property
    def peer(self) -> Peer | None:
        """The connection; None: there is none."""
        return self._bus.owner(systemd.MANAGER_NAME)

    def _is_systemd(self) -> bool:
        return systemd.is_systemd(self.peer)

    # Requests.

    def start_unit(self, start: Start, unit: str) -> None:
        """Start the unit of a service; raises DBusError."""
        self._log(start, unit)
        self._request(start, unit, self.activation_request(unit))

    def run(self, start: Start, program: Program) -> None:
        """Run the program of a service in a transient unit; raises DBusError or CannotExecute."""
        unit = unit_name(start.name, self._tools.now())
        settings = self._bus.settings
        # systemd is another user's than the bus where this has changed its user, or needs a helper to.
        system = settings.servicehelper is not None or settings.user is not None
        message = request(unit, program, system=system)
        start.transient = unit
        self._log(start, unit)
        self._request(start, unit, self.watched(message, unit, transient=True))

    def activation_request(self, unit: str) -> DriverMessage:
        """Return the message that requests the start of a unit, which is watched once it is sent."""
        return self.watched(systemd.activation_request(unit), unit)

    def watched(self, message: DriverMessage, unit: str, *, transient: bool = False) -> DriverMessage:
        """Return a message that starts a unit, which is watched once it is sent."""
        return message.replace(
            sent=partial(self._watch, unit, transient), lost=partial(self._unit_failed, unit)
        )

    def set_environment(self, variables: Mapping[str, str]) -> None:
        """Set variables for units that are started from now on; raises DBusError."""
        peer = self.peer
        # As in the reference: addressed by the well-known name only while that has no owner.
        destination = systemd.MANAGER_NAME if peer is None else peer.unique_name
        self._send(systemd.set_environment(variables, destination))

    def kill(self, unit: str) -> None:
        """Kill the program of a transient unit, as far as it runs."""
        self._tell("KillUnit", "ssi", unit, "main", int(signal.SIGKILL))

    def release(self, unit: str) -> None:
        """Let systemd forget a transient unit when its program has ended."""
        self._tell("StopUnit", "ss", keeper(unit), "replace")

    def _tell(self, member: str, kind: str, *arguments: object) -> None:
        if self.peer is not None:
            systemd.call(member, kind, *arguments).succeed(self._bus.relay)

    def _log(self, start: Start, unit: str) -> None:
        how = "Activating systemd to hand-off" if self.peer is None else "Activating via systemd"
        text = f"{how}: service name='{start.name}' unit='{unit}' {requested_by(start)}"
        self._bus.log.info(text, MESSAGE_ID=ACTIVATING, DBUS_SERVICE=start.name, UNIT=unit)

    def _request(self, start: Start, unit: str, message: DriverMessage) -> None:
        try:
            self._send(message)
        except DBusError:
            text = f"Failed to activate via systemd: service name='{start.name}' unit='{unit}'"
            self._activation.log_failure(start, text)
            raise

    def _send(self, message: DriverMessage) -> None:
        """Send a message to systemd, once it is connected; raises DBusError."""
        if self.peer is not None:
            message.succeed(self._bus.relay)
        else:
            self._activation.check_limit(systemd.MANAGER_NAME)
            self._activation.ask(systemd.MANAGER_NAME, message.show(self._bus.relay))

    # Results.

    def _starts_of(self, unit: str) -> list[Start]:
        return [start for start in self._activation.starts if start.running and start.unit == unit]

    def _watch(self, unit: str, transient: bool) -> None:
        """Watch the unit that systemd has just been asked to start."""
        if self._starts_of(unit):
            self.units.watch(unit, transient=transient)
        elif transient:
            self.release(unit)

    def _unit_failed(self, unit: str, error: DBusError) -> None:
        text = f"Activation via systemd failed for unit '{unit}': {error.text}"
        self._bus.log.info(text, MESSAGE_ID=ACTIVATION_FAILED, UNIT=unit)
        for start in self._starts_of(unit):
            self._activation.fail(start, error)

    def _ended(self, unit: str, path: str, status: int) -> None:
        """Fail the start whose program has ended."""
        for start in self._starts_of(unit):
            if status == NOT_EXECUTED:
                error = failures.cannot_execute(start.name, why_not_executed(path))
                self._activation.program_failed(start, error)
            else:
                self._activation.ended(start, status)

    def receive_failure(self, peer: Peer, event: Event) -> None:
        """Handle ActivationFailure, which systemd alone may send; raises DBusError."""
        self._bus.driver.check_privileged(self._bus, peer, "ActivationFailure")
        log = self._bus.log
        if self.peer is not peer:
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
            self._unit_failed(unit, DBusError(name if is_error_name(name) else errors.SPAWN_FAILED, text))


def requested_by(start: Start) -> str:
    """Return who waits the longest, for the log."""
    peer = start.first_peer
    name, loginfo = (BUS_NAME, "bus") if peer is None else (peer.unique_name, peer.credentials.loginfo)
    return f"requested by '{name}' ({loginfo})"
