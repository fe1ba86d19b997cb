"""The starts of services in the state, and how they go on."""

from __future__ import annotations

from collections.abc import Sequence

from ...transport.relay import Audience, Relay
from ...transport.relay.state import StateError
from ..activation.activation import Activation
from ..activation.service_file import ServiceFile
from ..activation.start import Start
from ..activation.systemd import ACTIVATOR_INTERFACE
from ..activation.transient import START, kept
from ..activation.waiters import DriverMessage, StartCall, StartReply, Waiter
from ..codec import make_body, read_body
from ..errors import DBusError
from ..guard import failure
from ..peers import Peer, Peers
from .control import ServiceState, StartState, WaitingCall, WaitingMessage


class ResumedCall(StartCall):
    """A call of StartServiceByName whose sender was resumed before the upgrade: only its answer is due."""

    def __init__(self, relay: Relay, peers: Peers, caller: WaitingCall) -> None:
        self._relay = relay
        self._peers = peers
        self._caller = caller
        self._answered = False

    @property
    def peer(self) -> Peer | None:
        """The caller; None once it has gone."""
        return self._peers.get(self._caller.peer)

    @property
    def resumed(self) -> tuple[int, int]:
        """The caller's id and the serial."""
        return self._caller.peer, self._caller.serial

    def begun(self, relay: Relay) -> None:
        """Do nothing: its sender goes on."""

    def reply(self, result: StartReply) -> None:
        """Reply with a result."""
        self._relay.reply(*self.resumed, "u", make_body("u", [int(result)]))
        self._answered = True

    def fail(self, relay: Relay, error: DBusError) -> None:
        """Answer with the error."""
        self._relay.error(*self.resumed, error.name, error.text)
        self._answered = True

    def lose(self, relay: Relay, error: Exception) -> None:
        """Answer with an error, unless it has been answered."""
        if not self._answered:
            self.fail(relay, failure(error))


def dump_starts(activation: Activation) -> tuple[StartState, ...]:
    """Return the starts for which something was begun.

    A start whose service is being looked up is left out, and so are parked messages and calls that the data
    plane still has: it hands them up again.
    """
    return tuple(_dump(start) for start in activation.starts if start.running)


def _dump(start: Start) -> StartState:
    calls = [one.resumed for one in start.waiters if isinstance(one, StartCall)]
    messages = [one for one in start.waiters if isinstance(one, DriverMessage)]
    return StartState(
        start.name,
        start.deadline,
        None if start.service is None else _service(start.service),
        None if start.child is None else start.child.pid,
        tuple(WaitingCall(*one) for one in calls if one is not None),
        tuple(_message(one) for one in messages),
        start.transient,
    )


def _service(service: ServiceFile) -> ServiceState:
    return ServiceState(
        service.path, service.exec, service.user, service.systemd_service, service.assumed_apparmor_label
    )


def _message(message: DriverMessage) -> WaitingMessage:
    return WaitingMessage(
        message.type,
        message.destination,
        message.path,
        message.interface,
        message.member,
        message.signature,
        message.body,
        int(message.audience),
    )


def restore_starts(activation: Activation, relay: Relay, peers: Peers, states: Sequence[StartState]) -> None:
    """Go on with these starts; parties whose messages come again join them."""
    for at, state in enumerate(states):
        start = Start(state.name)
        start.running = True
        start.deadline = state.deadline
        start.transient = state.transient
        if state.service is not None:
            start.service = ServiceFile(
                state.service.path,
                state.name,
                state.service.exec,
                state.service.user,
                state.service.systemd_service,
                state.service.assumed_apparmor_label,
            )
        waiters: list[Waiter] = [ResumedCall(relay, peers, call) for call in state.calls]
        name = f"control.starts[{at}].messages"
        waiters += [_restored(activation, one, f"{name}[{n}]") for n, one in enumerate(state.messages)]
        start.waiters = waiters
        activation.adopt(start, state.child)


def _restored(activation: Activation, state: WaitingMessage, name: str) -> DriverMessage:
    if not 0 < state.audience <= Audience.ALL:
        raise StateError(f"{name}.audience: {state.audience} is none")
    message = DriverMessage(
        state.type,
        state.destination,
        state.path,
        state.interface,
        state.member,
        state.signature,
        state.body,
        audience=Audience(state.audience),
    )
    transient = state.member == START
    if not transient and state.interface != ACTIVATOR_INTERFACE:
        return message
    try:
        (unit,) = read_body("s", state.body, big_endian=False)
    except ValueError as error:
        raise StateError(f"{name}.body: {error}") from error
    return activation.manager.watched(message, kept(unit) if transient else unit, transient=transient)
