"""The events that the data plane reports to the control plane."""

from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import Any, Generic, TypeVar

from ._relay import ffi, lib
from .credentials import Credentials


class EventKind(IntEnum):
    """The kinds of events: enum relay_event_kind."""

    CALL = lib.RELAY_EVENT_CALL
    PARKED = lib.RELAY_EVENT_PARKED
    GONE = lib.RELAY_EVENT_GONE
    EXPORT = lib.RELAY_EVENT_EXPORT
    LOG = lib.RELAY_EVENT_LOG
    WELCOMED = lib.RELAY_EVENT_WELCOMED
    NAMED = lib.RELAY_EVENT_NAMED
    RELEASED = lib.RELAY_EVENT_RELEASED
    ADMITTED = lib.RELAY_EVENT_ADMITTED
    LEFT = lib.RELAY_EVENT_LEFT
    HANDED_UP = lib.RELAY_EVENT_HANDED_UP
    FROZEN = lib.RELAY_EVENT_FROZEN
    DUMPED = lib.RELAY_EVENT_DUMPED


class LossReason(IntEnum):
    """Why a connection was lost: enum relay_gone."""

    CLOSED = lib.RELAY_GONE_CLOSED
    INVALID = lib.RELAY_GONE_INVALID
    DISCONNECTED = lib.RELAY_GONE_DISCONNECTED
    OVERFLOW = lib.RELAY_GONE_OVERFLOW
    FDS = lib.RELAY_GONE_FDS
    MEMORY = lib.RELAY_GONE_MEMORY


class Table(IntEnum):
    """The tables that the data plane exports: enum relay_export_kind."""

    CONNECTIONS = lib.RELAY_EXPORT_CONNECTIONS
    MATCHES = lib.RELAY_EXPORT_MATCHES
    REPLIES = lib.RELAY_EXPORT_REPLIES
    TOTALS = lib.RELAY_EXPORT_TOTALS


class Audience(IntFlag):
    """The recipients of a message from the bus to the owner of a name: enum relay_audience."""

    OWNER = lib.RELAY_TO_OWNER
    MONITORS = lib.RELAY_TO_MONITORS
    ALL = OWNER | MONITORS


T = TypeVar("T")


class Field(Generic[T]):
    """A field of struct relay_event, converted at each access."""

    def __init__(self, convert: Callable[[Any], T]) -> None:
        self._convert = convert

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, event: "Event", owner: type | None = None) -> T:
        return self._convert(getattr(event.view, self._name))


def _text(pointer: Any) -> str | None:
    return ffi.string(pointer).decode("ascii", "replace") if pointer else None


def _credentials(native: Any) -> Credentials:
    return Credentials(
        uid=native.uid,
        pid=native.pid or None,
        gids=tuple(ffi.unpack(native.gids, native.n_gids)),
        at_console=native.at_console,
        fd_passing=native.fd_passing,
        privileged=native.privileged,
        loginfo=_text(native.loginfo) or "",
        label=ffi.unpack(native.label, native.label_size) if native.label_size else b"",
        instance=_text(native.instance),
    )


class Event:
    """A view of one event; its fields are read from the data plane's memory on access.

    Valid until the command that answers it is committed; an event without an answer, until the next drain.
    """

    __slots__ = ("kind", "peer", "view")

    def __init__(self, view: Any) -> None:
        self.view = view
        self.kind: int = view.kind
        self.peer: int = view.peer

    serial = Field(int)
    """The message's serial; for EXPORT the Table, for LOG the line of the deciding rule.

    For DUMPED 0 or an errno, which `body` explains.
    """
    reply_serial = Field(int)
    """The REPLY_SERIAL field, 0 if it has none."""
    parked = Field(int)
    """The id of a parked message; for HANDED_UP the number of bytes sent in the handshake so far.

    For DUMPED the size of the state in bytes.
    """
    type = Field(int)
    """The message's type; for LOG the severity as in syslog(3)."""
    flags = Field(int)
    """The message's flags; for NAMED those of RequestName."""
    big_endian = Field(bool)
    """The byte order of the body."""
    active = Field(bool)
    """Whether Hello has been answered."""
    current = Field(bool)
    """For CALL and PARKED whether the catalogue is known to be current, so that it need not be read."""
    denied = Field(bool)
    """For PARKED whether the sender may not send it to a service that owns just the destination."""
    again = Field(bool)
    """For PARKED whether it was judged anew, by `deliver`."""
    n_fds = Field(int)
    """How many descriptors came with the message; for DUMPED how many the state has."""
    monitor = Field(bool)
    """For ADMITTED whether the connection, which is resumed then, is a monitor."""
    reason = Field(LossReason)
    """Why the connection was lost."""
    path = Field(_text)
    """The PATH field; for LOG the file of the deciding rule."""
    interface = Field(_text)
    """The INTERFACE field."""
    member = Field(_text)
    """The MEMBER field."""
    error_name = Field(_text)
    """The ERROR_NAME field."""
    destination = Field(_text)
    """The DESTINATION field; for LOG that of the denied message, if any; for NAMED and RELEASED the name."""
    signature = Field(lambda pointer: _text(pointer) or "")
    """The body's signature; empty for none."""
    credentials = Field(_credentials)
    """For ADMITTED those of the connection."""
    fd = Field(int)
    """For HANDED_UP the socket, owned by the caller."""
    listener = Field(int)
    """For HANDED_UP the number of the listener, as given to `listen`."""
    began = Field(lambda milliseconds: float(milliseconds) / 1000)
    """For HANDED_UP the time of accept(2), in seconds of CLOCK_MONOTONIC."""

    @property
    def body(self) -> bytes:
        """A copy of the body, in the sender's byte order."""
        return bytes(self.body_view)

    @property
    def body_view(self) -> memoryview:
        """The body in place."""
        view = self.view
        return memoryview(ffi.buffer(view.body, view.body_size) if view.body_size else b"")

    @property
    def fds(self) -> list[int]:
        """For HANDED_UP the descriptors received so far, owned by the caller."""
        return ffi.unpack(self.view.fds, self.n_fds) if self.n_fds else []
