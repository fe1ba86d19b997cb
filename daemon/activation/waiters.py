"""Who waits for a name: each kind knows what it gets when the name is there, and when it won't be."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from ...policy.question import Header
from ...record import Record
from ...transport.relay import Audience
from ..driver.method import Call
from ..errors import DBusError
from ..guard import failure, ignored
from ..peers import Peer
from ..plane import DataPlane


class StartReply(IntEnum):
    """The answers of StartServiceByName."""

    SUCCESS = 1
    ALREADY_RUNNING = 2


class Waiter(Protocol):
    """A party that waits; ``peer`` is None for the bus itself.

    One of succeed and fail is called; if that raises something, lose is called too (``guard.py``), which does
    what has not been done yet.
    """

    @property
    def peer(self) -> Peer | None:
        """Who it is."""

    def begun(self, relay: DataPlane) -> None:
        """The start is under way, and may take long."""

    def succeed(self, relay: DataPlane) -> None:
        """The name has an owner."""

    def fail(self, relay: DataPlane, error: DBusError) -> None:
        """The name will have none."""

    def lose(self, relay: DataPlane, error: Exception) -> None:
        """It could not be told."""


class ParkedMessage(Record):
    """A message that waits in the data plane; ``header`` is what the policy looks at."""

    peer: Peer
    parked: int
    header: Header

    def begun(self, relay: DataPlane) -> None:
        """Show it to monitors, behind what the bus has said to begin the start."""
        relay.show(self.parked)

    def succeed(self, relay: DataPlane) -> None:
        """Deliver it, if the policy still allows that."""
        relay.deliver(self.parked)

    def fail(self, relay: DataPlane, error: DBusError) -> None:
        """Answer it with the error."""
        relay.reject(self.parked, error.name, error.text)

    def lose(self, relay: DataPlane, error: Exception) -> None:
        """Answer it with an error, unless it has been delivered or answered."""
        self.fail(relay, failure(error))


class StartCall:
    """A call of StartServiceByName; its sender is stopped until the service is found."""

    def __init__(self, call: Call) -> None:
        self.peer = call.peer
        self._call = call

    def begun(self, relay: DataPlane) -> None:
        """Let the sender go on."""
        self._call.resume()

    def succeed(self, relay: DataPlane) -> None:
        """Say that it was started."""
        self.reply(StartReply.SUCCESS)

    def reply(self, result: StartReply) -> None:
        """Answer."""
        self._call.reply(int(result))

    def fail(self, relay: DataPlane, error: DBusError) -> None:
        """Answer with the error."""
        self._call.fail(error)

    def lose(self, relay: DataPlane, error: Exception) -> None:
        """Answer with an error, unless it has been answered."""
        self._call.failed(error)


class DriverMessage(Record):
    """What the bus itself has to say to the owner of a name; arguments as of ``DataPlane.send``."""

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
        """Nobody."""
        return

    def begun(self, relay: DataPlane) -> None:
        """Do nothing."""

    def succeed(self, relay: DataPlane) -> None:
        """Say it."""
        self._say(relay, self.audience)
        self.sent()

    def show(self, relay: DataPlane) -> DriverMessage:
        """Show monitors now what the bus wants to say; return what the owner is to get once he is there."""
        self._say(relay, Audience.MONITORS)
        return self.replace(audience=Audience.OWNER)

    def _say(self, relay: DataPlane, audience: Audience) -> None:
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

    def fail(self, relay: DataPlane, error: DBusError) -> None:
        """Do nothing: who waits for the effect has a time-out of its own."""

    def lose(self, relay: DataPlane, error: Exception) -> None:
        """Tell who waits for the effect that it could not be said."""
        self.lost(failure(error))
