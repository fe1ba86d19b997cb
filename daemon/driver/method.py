"""What the driver's interfaces are made of: declared methods, properties and signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from ..bus import Bus
    from ..peers import Peer

from ...record import Record

BUS_NAME: Final = "org.freedesktop.DBus"
BUS_PATH: Final = "/org/freedesktop/DBus"

METHOD_CALL: Final = 1
NO_REPLY_EXPECTED: Final = 1
NO_AUTO_START: Final = 2


class Call(NamedTuple):
    """A method call to the driver that fits the signature of the method it names.

    ``fd`` is the process that GetConnectionCredentials is about, -1 if there is none.
    """

    peer: Peer
    serial: int
    flags: int
    path: str
    args: list[Any]
    fd: int = -1


class Reply(NamedTuple):
    """The values of a reply, and the descriptors that go with it and are given away with it."""

    values: tuple[Any, ...] = ()
    fds: tuple[int, ...] = ()


Handler = Callable[["Bus", Call], Reply | None]
"""Returns the reply, or None if it answers and lets the sender go on by itself; raises DBusError."""


class Method(Record):
    """One method.

    ``handler`` None: the data plane answers it. ``any_path``: not only at /org/freedesktop/DBus, which the
    methods of old are. ``privileged``: for root and the bus's own user alone.
    """

    name: str
    inputs: str
    outputs: str
    handler: Handler | None
    any_path: bool = True
    privileged: bool = False


class Property(Record):
    """A constant property: its signature, and how to find its value."""

    name: str
    signature: str
    value: Callable[[Bus], Any]


class Signal(Record):
    """A signal, as introspection shows it: pairs of an argument's name (or None) and its type."""

    name: str
    args: tuple[tuple[str | None, str], ...] = ()


class Interface(Record):
    """One interface of the driver.

    ``any_path``: it is found at every object path. ``listed``: the property Interfaces names it.
    """

    name: str
    methods: tuple[Method, ...]
    properties: tuple[Property, ...] = ()
    signals: tuple[Signal, ...] = ()
    any_path: bool = True
    listed: bool = False

    def method(self, name: str) -> Method | None:
        """Find a method by its name."""
        return next((method for method in self.methods if method.name == name), None)
