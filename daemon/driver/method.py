"""The elements of the driver's interfaces: calls, and declared methods, properties and signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ...record import Record
from ...transport.relay.message import NO_REPLY_EXPECTED
from ..codec import make_body, read_body, read_strings
from ..errors import DBusError
from ..guard import failure

if TYPE_CHECKING:
    from ...transport.relay import Event, Relay
    from ..bus import Bus
    from ..peers import Peer

BUS_NAME: Final = "org.freedesktop.DBus"
BUS_PATH: Final = "/org/freedesktop/DBus"


class Call:
    """A method call to the driver, which is answered exactly once.

    Its sender is stopped until it is resumed. ``method`` is set once it is known; then the arguments match
    its signature.
    """

    __slots__ = (
        "_message",
        "_relay",
        "_replied",
        "_resumed",
        "flags",
        "method",
        "path",
        "peer",
        "serial",
    )

    def __init__(self, relay: Relay, peer: Peer, message: Event) -> None:
        self.peer = peer
        self.serial = message.serial
        self.flags = message.flags
        self.path = message.path or "/"
        self.method: Method | None = None
        self._relay = relay
        self._message: Event | None = message
        self._replied = False
        self._resumed = False

    @property
    def args(self) -> list[Any]:
        """All arguments, unmarshalled at each access."""
        message = self.message
        return read_body(message.signature, message.body_view, message.big_endian)

    @property
    def message(self) -> Event:
        """The message itself, which the data plane frees once its sender is resumed."""
        if self._message is None:
            raise RuntimeError("the call has been answered")
        return self._message

    @property
    def resumed(self) -> bool:
        """True once its sender was resumed: the data plane has freed the message."""
        return self._resumed

    @property
    def waits(self) -> bool:
        """True until it is answered."""
        return not self._replied

    def first_args(self, signature: str) -> list[Any]:
        """Return the first arguments, without reading the rest."""
        return read_body(signature, self.message.body_view, self.message.big_endian)

    def last_uint32(self) -> int:
        """Return the last argument, an unsigned integer, without reading the rest."""
        order: Literal["big", "little"] = "big" if self.message.big_endian else "little"
        return int.from_bytes(self.message.body_view[-4:], order)

    def strings(self, *, pairs: bool = False) -> Iterator[list[str]]:
        """Read the first argument, an array of strings or of pairs of strings, in parts."""
        return read_strings(self.message.body_view, self.message.big_endian, pairs=pairs)

    def reply(self, *values: Any) -> None:
        """Answer with the values of the method's outputs."""
        assert self.method is not None
        # Like the reference, omit an empty reply if none is expected.
        if not self.method.outputs and self.flags & NO_REPLY_EXPECTED:
            self.answered()
        self.reply_body(make_body(self.method.outputs, values))

    def reply_body(self, body: bytes) -> None:
        """Answer with a marshalled body, even if no reply is expected."""
        assert self.method is not None
        if not self._replied:
            # Clients make up paths, and what the data plane keeps must not grow with them.
            constant = self.method.constant and self.path in (BUS_PATH, "/")
            self._relay.reply(self.peer.id, self.serial, self.method.outputs, body, constant=constant)
        self._replied = True
        self.resume()

    def fail(self, error: DBusError) -> None:
        """Answer with an error, unless it has been answered."""
        if not self._replied:
            self._relay.error(self.peer.id, self.serial, error.name, error.text)
        self._replied = True
        self.resume()

    def failed(self, error: Exception) -> None:
        """Answer with the error for an exception (``guard.py``), or disconnect the sender."""
        try:
            self.fail(failure(error))
        except Exception:
            self._relay.disconnect(self.peer.id)
            raise

    def answered(self, *, resumed: bool = False) -> None:
        """Record that the data plane answers the call (BecomeMonitor), and resumes the sender (Hello)."""
        self._replied = True
        self._resumed = self._resumed or resumed

    def resume(self) -> None:
        """Resume the sender, before or after its call is answered."""
        self._message = None
        if not self._resumed:
            self._relay.resume(self.peer.id)
        self._resumed = True


class Reply(NamedTuple):
    """The values of a reply."""

    values: tuple[Any, ...] = ()


Handler = Callable[["Bus", Call], Reply | None]
"""Returns the reply, or None if the handler answers the call, now or later; raises DBusError."""


class Method(Record):
    """One method.

    ``handler`` None: the data plane answers it. ``any_path``: at every path, not only at
    /org/freedesktop/DBus. ``privileged``: for root and the bus's own user only. ``no_containers``: not for
    connections of a container instance, which are never privileged either. ``before_hello``: also for a
    connection of these that has no unique name, since the bus is full. ``constant``: a reply depends on
    nothing but path and arguments, so the data plane gives it to later calls; errors are not kept.
    """

    name: str
    inputs: str
    outputs: str
    handler: Handler | None
    any_path: bool = True
    privileged: bool = False
    no_containers: bool = False
    before_hello: bool = False
    constant: bool = False


class Property(Record):
    """A property: its signature and a function that returns its value.

    ``write``: sets it, and raises DBusError for a value that it can't have; None: it is constant.
    """

    name: str
    signature: str
    value: Callable[[Bus], Any]
    write: Callable[[Bus, Any], None] | None = None


class Signal(Record):
    """A signal for introspection: pairs of an argument's name (or None) and its type."""

    name: str
    args: tuple[tuple[str | None, str], ...] = ()


class Interface(Record):
    """One interface of the driver.

    ``any_path``: it exists at every object path. ``listed``: it is part of the property Interfaces.
    """

    name: str
    methods: tuple[Method, ...]
    properties: tuple[Property, ...] = ()
    signals: tuple[Signal, ...] = ()
    any_path: bool = True
    listed: bool = False

    def method(self, name: str) -> Method | None:
        """Return the method of a name, or None."""
        return next((method for method in self.methods if method.name == name), None)
