"""The arguments of a policy decision: a connection, and a message that it sends."""

from __future__ import annotations

from ..record import Record

_SIGNAL = 4


class Header(Record):
    """The header fields that the policy compares. None: the message has no such field.

    type: 1 to 4, as in the message header. is_reply: the message has a reply serial.
    """

    type: int
    destination: str | None = None
    sender: str | None = None
    path: str | None = None
    interface: str | None = None
    member: str | None = None
    error_name: str | None = None
    is_reply: bool = False
    n_fds: int = 0

    @property
    def is_broadcast(self) -> bool:
        """True for a signal without a destination."""
        return self.type == _SIGNAL and self.destination is None


class Identity(Record):
    """The credentials of a connection. uid is None for an anonymous connection.

    gids: as in dbus-daemon those of the socket (SO_PEERGROUPS and the peer's gid), in any order; the rules of
    the group with the greatest gid win. The uid's groups in the user database don't count.
    """

    uid: int | None
    gids: tuple[int, ...] = ()
    at_console: bool = False
