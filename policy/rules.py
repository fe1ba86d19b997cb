"""A rule of the policy, and its layout in the block that the data plane reads.

The block is little-endian: a header of 32 bytes, the rules of 64 bytes each in the order of the files, and
the strings. A string is the offset of a text that ends with NUL; offset 0 stands for "not given".
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct

from ..record import Record

MAGIC = b"OMNIPOL1"
# magic, number of rules, size of a rule, offset and size of the strings, flags, reserved
HEADER = Struct("<8s6I")
# kind, allow, context, message type; principal, destination, path, interface, member, error, min_fds,
# max_fds; flags, reserved; file, line
RECORD = Struct("<4B8I2H2I16x")

ANY_ID = 0xFFFFFFFF
NO_MAXIMUM = 0xFFFFFFFF

MESSAGE_TYPES = {"method_call": 1, "method_return": 2, "error": 3, "signal": 4}
_TYPE_NAMES = {number: name for name, number in MESSAGE_TYPES.items()}


class Kind(IntEnum):
    """What a rule decides about."""

    SEND = 1
    RECEIVE = 2
    OWN = 3
    CONNECT_USER = 4
    CONNECT_GROUP = 5


class Context(IntEnum):
    """The kind of <policy> that contains a rule."""

    DEFAULT = 0
    GROUP = 1
    USER = 2
    AT_CONSOLE = 3
    MANDATORY = 4
    NO_CONSOLE = 5


class Flag(IntFlag):
    """The bits of a record's flags."""

    PREFIX = 1
    EAVESDROP = 2
    REQUESTED_REPLY = 4
    LOG = 8
    BROADCAST = 16
    NO_BROADCAST = 32


class Rule(Record):
    """An <allow> or <deny>, with defaults filled in.

    principal: the uid or gid of the <policy> or of a connect rule; otherwise ANY_ID.
    message_type: 1 to 4, or 0 for any.
    destination: send_destination, receive_sender, or the name of an own rule.
    A string of None matches anything; an empty string matches an empty one.
    prefix: destination stands for itself and for all names below.
    broadcast: True for broadcasts only, False for other messages only, None for both.
    """

    kind: Kind
    allow: bool
    context: Context = Context.DEFAULT
    principal: int = ANY_ID
    message_type: int = 0
    destination: str | None = None
    path: str | None = None
    interface: str | None = None
    member: str | None = None
    error: str | None = None
    min_fds: int = 0
    max_fds: int = NO_MAXIMUM
    prefix: bool = False
    eavesdrop: bool = False
    requested_reply: bool = False
    log: bool = False
    broadcast: bool | None = None
    file: str = ""
    line: int = 0

    @property
    def is_per_client(self) -> bool:
        """True unless it is a connect rule, which is evaluated before there is a client."""
        return self.kind not in (Kind.CONNECT_USER, Kind.CONNECT_GROUP)

    @property
    def is_catch_all(self) -> bool:
        """True if dbus-daemon drops all earlier rules of this kind because of this one.

        It compares type and strings only. A rule that is restricted by fds, broadcast, eavesdrop or
        requested_reply alone is a catch-all, too, and messages that it doesn't match are denied.
        """
        strings = (self.destination, self.path, self.interface, self.member, self.error)
        return not self.message_type and all(text is None for text in strings)

    def __str__(self) -> str:
        """Return the rule as an element of a configuration file."""
        attributes = "".join(f' {name}="{value}"' for name, value in self._attributes())
        return f"<{'allow' if self.allow else 'deny'}{attributes}/>"

    def _attributes(self) -> list[tuple[str, str]]:
        if not self.is_per_client:
            name = "user" if self.kind == Kind.CONNECT_USER else "group"
            return [(name, "*" if self.principal == ANY_ID else str(self.principal))]
        if self.kind == Kind.OWN:
            name = "*" if self.destination is None else self.destination
            return [("own_prefix" if self.prefix else "own", name)]
        side = self.kind.name.lower()
        peer = "receive_sender" if self.kind == Kind.RECEIVE else "send_destination"
        given: list[tuple[str, str | None]] = [
            (peer + ("_prefix" if self.prefix else ""), self.destination),
            (f"{side}_type", _TYPE_NAMES.get(self.message_type)),
            (f"{side}_path", self.path),
            (f"{side}_interface", self.interface),
            (f"{side}_member", self.member),
            (f"{side}_error", self.error),
            (f"{side}_broadcast", None if self.broadcast is None else str(self.broadcast).lower()),
            ("min_fds", str(self.min_fds) if self.min_fds else None),
            ("max_fds", None if self.max_fds == NO_MAXIMUM else str(self.max_fds)),
            ("eavesdrop", "true" if self.eavesdrop else None),
            ("log", "true" if self.log else None),
        ]
        if self.requested_reply != self.allow:
            given.append((f"{side}_requested_reply", str(self.requested_reply).lower()))
        attributes = [(name, value) for name, value in given if value is not None]
        if not any(name.startswith(side) for name, _ in attributes):
            attributes.insert(0, (peer, "*"))
        return attributes
