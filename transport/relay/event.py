"""What the data plane tells the control plane."""

from enum import IntEnum
from typing import Any

from ...record import Record
from ._relay import ffi
from .credentials import Credentials


class Kind(IntEnum):
    """The kinds of event; see relay.h."""

    CALL = 1
    PARKED = 2
    GONE = 3
    EXPORT = 4
    LOG = 5
    WELCOMED = 6
    NAMED = 7
    RELEASED = 8
    ADMITTED = 9
    LEFT = 10
    HANDED_UP = 11


class Gone(IntEnum):
    """Why a connection was lost."""

    CLOSED = 0
    INVALID = 1
    DISCONNECTED = 2
    OVERFLOW = 3
    FDS = 4
    MEMORY = 5


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
    """A view of one event; its fields are read from the data plane's memory when they are asked for.

    Valid until the commit of the command that answers it; of those that none answers, until the next drain.
    """

    __slots__ = ("_view", "kind", "peer")

    def __init__(self, view: Any) -> None:
        self._view = view
        self.kind: int = view.kind
        self.peer: int = view.peer

    @property
    def serial(self) -> int:
        """The message's serial; for EXPORT the kind of table, for LOG the line of the rule that decided."""
        return int(self._view.serial)

    @property
    def reply_serial(self) -> int:
        """The REPLY_SERIAL field, 0 if it has none."""
        return int(self._view.reply_serial)

    @property
    def parked(self) -> int:
        """The id by which a parked message is delivered or rejected; for HANDED_UP how much was answered."""
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
        """Whether the sender has said Hello."""
        return bool(self._view.active)

    @property
    def n_fds(self) -> int:
        """How many descriptors came with the message."""
        return int(self._view.n_fds)

    @property
    def reason(self) -> Gone:
        """Why the connection was lost."""
        return Gone(self._view.reason)

    @property
    def path(self) -> str | None:
        """The PATH field; for LOG the file of the rule that decided."""
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
        """The DESTINATION field; for LOG that of the message that was denied, if one was.

        For NAMED and RELEASED the name.
        """
        return _text(self._view.destination)

    @property
    def signature(self) -> str:
        """The body's signature; empty for none."""
        return _text(self._view.signature) or ""

    @property
    def body(self) -> bytes:
        """The body as it came, in the sender's byte order."""
        if not self._view.body_size:
            return b""
        return bytes(ffi.buffer(self._view.body, self._view.body_size))

    @property
    def body_view(self) -> memoryview:
        """The body where it stands, without a copy."""
        if not self._view.body_size:
            return memoryview(b"")
        return memoryview(ffi.buffer(self._view.body, self._view.body_size))

    @property
    def arrival(self) -> Arrival:
        """Of ADMITTED: who it is."""
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
        """Of HANDED_UP: the connection, which belongs to who reads this.

        Of a CALL of GetConnectionCredentials: the process, -1 if there is none; open until that is answered.
        """
        return int(self._view.fd)

    @property
    def fds(self) -> list[int]:
        """Of HANDED_UP: the descriptors that came, which belong to who reads this."""
        return ffi.unpack(self._view.fds, self.n_fds) if self.n_fds else []

    @property
    def listener(self) -> int:
        """Of HANDED_UP: where it was accepted, by the number that was given to `listen`."""
        return int(self._view.listener)

    @property
    def began(self) -> float:
        """Of HANDED_UP: when it was accepted, in the seconds of the monotonic clock."""
        return float(self._view.began) / 1000
