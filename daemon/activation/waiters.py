"""The parties that wait for a name, and their answers on success and failure."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from ...record import Record
from ...transport.relay import Audience, Relay
from ..driver.method import Call
from ..errors import DBusError
from ..guard import failure, ignored
from ..peers import Peer


class StartReply(IntEnum):
    """The answers of StartServiceByName."""

    SUCCESS = 1
    ALREADY_RUNNING = 2


class Waiter(Protocol):
    """A party that waits for a name; ``peer`` is None for the bus itself.

    Either succeed or fail is called; if that raises, lose is called, too (``guard.py``), which completes the
    answer.
    """

    @property
    def peer(self) -> Peer | None:
        """The connection that waits."""

    def begun(self, relay: Relay) -> None:
        """The service is being started."""

    def succeed(self, relay: Relay) -> None:
        """The name has an owner."""

    def fail(self, relay: Relay, error: DBusError) -> None:
        """The start has failed."""

    def lose(self, relay: Relay, error: Exception) -> None:
        """succeed or fail has raised an exception."""


class ParkedMessage(Record):
    """A message parked in the data plane; ``denied``: its sender's policy forbids it to start a service.

    ``judged``: by the service files as they are; otherwise the label of the service was not known yet.
    """

    peer: Peer
    parked: int
    denied: bool
    judged: bool = True

    @property
    def is_to_be_judged(self) -> bool:
        """True if the data plane has to decide about the start, before anything is started."""
        return self.denied or not self.judged

    def begun(self, relay: Relay) -> None:
        """Show it to monitors, after the bus's own messages for the start."""
        relay.show(self.parked)

    def succeed(self, relay: Relay) -> None:
        """Deliver it, or let the data plane deny it: the policy is evaluated again."""
        relay.deliver(self.parked)

    def fail(self, relay: Relay, error: DBusError) -> None:
        """Answer it with the error."""
        relay.reject(self.parked, error.name, error.text)

    def lose(self, relay: Relay, error: Exception) -> None:
        """Answer it with an error, unless it has been delivered or answered."""
        self.fail(relay, failure(error))


class StartCall:
    """A call of StartServiceByName; its sender is stopped until the service is found."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def peer(self) -> Peer | None:
        """The caller."""
        return self._call.peer

    @property
    def resumed(self) -> tuple[int, int] | None:
        """The caller's id and the serial, if the data plane no longer has the call; None: it has."""
        return (self._call.peer.id, self._call.serial) if self._call.resumed else None

    def begun(self, relay: Relay) -> None:
        """Resume the sender."""
        self._call.resume()

    def succeed(self, relay: Relay) -> None:
        """Reply that it was started."""
        self.reply(StartReply.SUCCESS)

    def reply(self, result: StartReply) -> None:
        """Reply with a result."""
        self._call.reply(int(result))

    def fail(self, relay: Relay, error: DBusError) -> None:
        """Answer with the error."""
        self._call.fail(error)

    def lose(self, relay: Relay, error: Exception) -> None:
        """Answer with an error, unless it has been answered."""
        self._call.failed(error)


class DriverMessage(Record):
    """A message of the bus to the owner of a name; arguments as of ``Relay.send``."""

    type: int
    destination: str
    path: str
    interface: str
    member: str
    signature: str
    body: bytes
    sent: Callable[[], None] = lambda: None
    lost: Callable[[DBusError], object] = ignored
    audience: Audience = Audience.ALL

    @property
    def peer(self) -> None:
        """None: it is the bus."""
        return

    def begun(self, relay: Relay) -> None:
        """Do nothing."""

    def succeed(self, relay: Relay) -> None:
        """Send it."""
        self._send(relay, self.audience)
        self.sent()

    def show(self, relay: Relay) -> DriverMessage:
        """Show it to monitors now; return the message for the future owner alone."""
        self._send(relay, Audience.MONITORS)
        return self.replace(audience=Audience.OWNER)

    def _send(self, relay: Relay, audience: Audience) -> None:
        relay.send(
            self.type,
            self.destination,
            self.path,
            self.interface,
            self.member,
            self.signature,
            self.body,
            audience=audience,
        )

    def fail(self, relay: Relay, error: DBusError) -> None:
        """Do nothing: a party that waits for the effect has its own time-out."""

    def lose(self, relay: Relay, error: Exception) -> None:
        """Fail the party that waits for the effect."""
        self.lost(failure(error))
