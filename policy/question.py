"""What the policy is asked about: a connection, and a message that it sends."""

from __future__ import annotations

from ..record import Record

_SIGNAL = 4


class Header(Record):
    """What the policy looks at in a message. None: the message has no such field.

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
    """The credentials that a connection is judged by. uid is None for an anonymous connection.

    gids: as dbus-daemon has them, what the socket says (SO_PEERGROUPS and the peer's own gid), in any order;
    the rules of the group with the greatest number win. Groups that belong to the uid by name don't count.
    """

    uid: int | None
    gids: tuple[int, ...] = ()
    at_console: bool = False
