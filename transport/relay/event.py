"""What the data plane tells the control plane."""

from enum import IntEnum
from typing import Any

from ._relay import ffi


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


class Gone(IntEnum):
    """Why a connection was lost."""

    CLOSED = 0
    INVALID = 1
    DISCONNECTED = 2
    OVERFLOW = 3
    FDS = 4
    MEMORY = 5


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
        """The id by which a parked message is delivered or rejected."""
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
