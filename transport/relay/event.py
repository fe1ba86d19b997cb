"""The events that the data plane reports to the control plane."""

from enum import IntEnum, IntFlag
from typing import Any

from ...record import Record
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
    TOTALS = lib.RELAY_EXPORT_TOTALS


class Audience(IntFlag):
    """The recipients of a message from the bus to the owner of a name: enum relay_audience."""

    OWNER = lib.RELAY_TO_OWNER
    MONITORS = lib.RELAY_TO_MONITORS
    ALL = OWNER | MONITORS


class Arrival(Record):
    """A connection that the data plane has admitted."""

    who: Credentials
    label: bytes


def _text(pointer: Any) -> str | None:
    if not pointer:
        return None
    text: bytes = ffi.string(pointer)
    return text.decode("ascii", "replace")


class Event:
    """A view of one event; its fields are read from the data plane's memory on access.

    Valid until the command that answers it is committed; an event without an answer, until the next drain.
    """

    __slots__ = ("_view", "kind", "peer")

    def __init__(self, view: Any) -> None:
        self._view = view
        self.kind: int = view.kind
        self.peer: int = view.peer

    @property
    def serial(self) -> int:
        """The message's serial; for EXPORT the Table, for LOG the line of the deciding rule."""
        return int(self._view.serial)

    @property
    def reply_serial(self) -> int:
        """The REPLY_SERIAL field, 0 if it has none."""
        return int(self._view.reply_serial)

    @property
    def parked(self) -> int:
        """The id of a parked message; for HANDED_UP the number of bytes sent in the handshake so far."""
        return int(self._view.parked)

    @property
    def type(self) -> int:
        """The message's type; for LOG the severity as in syslog(3)."""
        return int(self._view.type)

    @property
    def flags(self) -> int:
        """The message's flags; for NAMED those of RequestName."""
        return int(self._view.flags)

    @property
    def big_endian(self) -> bool:
        """The byte order of the body."""
        return bool(self._view.big_endian)

    @property
    def active(self) -> bool:
        """Whether Hello has been answered."""
        return bool(self._view.active)

    @property
    def denied(self) -> bool:
        """For PARKED whether the sender may not send it to a service that owns just the destination."""
        return bool(self._view.denied)

    @property
    def n_fds(self) -> int:
        """How many descriptors came with the message."""
        return int(self._view.n_fds)

    @property
    def reason(self) -> LossReason:
        """Why the connection was lost."""
        return LossReason(self._view.reason)

    @property
    def path(self) -> str | None:
        """The PATH field; for LOG the file of the deciding rule."""
        return _text(self._view.path)

    @property
    def interface(self) -> str | None:
        """The INTERFACE field."""
        return _text(self._view.interface)

    @property
    def member(self) -> str | None:
        """The MEMBER field."""
        return _text(self._view.member)

    @property
    def error_name(self) -> str | None:
        """The ERROR_NAME field."""
        return _text(self._view.error_name)

    @property
    def destination(self) -> str | None:
        """The DESTINATION field; for LOG that of the denied message, if any.

        For NAMED and RELEASED the name.
        """
        return _text(self._view.destination)

    @property
    def signature(self) -> str:
        """The body's signature; empty for none."""
        return _text(self._view.signature) or ""

    @property
    def body(self) -> bytes:
        """A copy of the body, in the sender's byte order."""
        if not self._view.body_size:
            return b""
        return bytes(ffi.buffer(self._view.body, self._view.body_size))

    @property
    def body_view(self) -> memoryview:
        """The body in place."""
        if not self._view.body_size:
            return memoryview(b"")
        return memoryview(ffi.buffer(self._view.body, self._view.body_size))

    @property
    def arrival(self) -> Arrival:
        """For ADMITTED the credentials of the connection."""
        arrival = self._view.arrival
        who = arrival.who
        return Arrival(
            Credentials(
                uid=who.uid,
                pid=who.pid or None,
                gids=tuple(ffi.unpack(who.gids, who.n_gids)),
                at_console=who.at_console,
                fd_passing=who.fd_passing,
                privileged=who.privileged,
                loginfo=_text(who.loginfo) or "",
            ),
            ffi.unpack(arrival.label, arrival.label_size) if arrival.label_size else b"",
        )

    @property
    def fd(self) -> int:
        """For HANDED_UP the socket, owned by the caller.

        For a CALL of GetConnectionCredentials a pidfd, -1 if there is none; open until the call is answered.
        """
        return int(self._view.fd)

    @property
    def fds(self) -> list[int]:
        """For HANDED_UP the descriptors received so far, owned by the caller."""
        return ffi.unpack(self._view.fds, self.n_fds) if self.n_fds else []

    @property
    def listener(self) -> int:
        """For HANDED_UP the number of the listener, as given to `listen`."""
        return int(self._view.listener)

    @property
    def began(self) -> float:
        """For HANDED_UP the time of accept(2), in seconds of CLOCK_MONOTONIC."""
        return float(self._view.began) / 1000
