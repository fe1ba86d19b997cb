"""Which messages a verb is about: a filter, and the match rules of a monitor that let all of them through."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from fnmatch import fnmatchcase
from typing import Any, Final

from ..record import Record
from .message import TYPES, Ledger, Seen

BUS_NAME: Final = "org.freedesktop.DBus"
OWNERS: Final = f"type='signal',sender='{BUS_NAME}',interface='{BUS_NAME}',member='NameOwnerChanged'"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of a filter."""
    group = parser.add_argument_group("filter; patterns may have * and ?")
    group.add_argument("--from", dest="sender", metavar="NAME", help="messages of this connection")
    group.add_argument("--to", dest="receiver", metavar="NAME", help="messages to it, and their replies")
    group.add_argument("--with", dest="party", metavar="NAME", action="append", help="of it or to it")
    group.add_argument("--type", choices=TYPES.values(), help="calls, returns, errors or signals")
    group.add_argument("--interface", metavar="PATTERN", help="of a call or signal, and of the reply")
    group.add_argument("--member", metavar="PATTERN", help="of a call or signal, and of the reply")
    group.add_argument("--path", metavar="PATTERN", help="of a call or signal, and of the reply")
    group.add_argument("--errors-only", action="store_true", help="errors only")
    group.add_argument("--slower", type=float, metavar="MS", help="replies that took at least this long")


class Filter(Record):
    """A filter; None lets everything pass. ``parties`` are names of which one has to be a party."""

    sender: str | None = None
    receiver: str | None = None
    parties: tuple[str, ...] = ()
    type: str | None = None
    interface: str | None = None
    member: str | None = None
    path: str | None = None
    slower: float | None = None

    @classmethod
    def of(cls, options: Namespace, names: Any = ()) -> Filter:
        """Return the filter that options describe; ``names`` are more parties."""
        return cls(
            options.sender,
            options.receiver,
            (*(options.party or ()), *names),
            "error" if options.errors_only else options.type,
            options.interface,
            options.member,
            options.path,
            options.slower,
        )

    def passes(self, seen: Seen, ledger: Ledger) -> bool:
        """Return True for a message that the filter is about; owners are those of now."""
        sides = _Sides(seen, ledger)
        if self.sender is not None and not sides.is_from(self.sender):
            return False
        if self.receiver is not None and not (sides.is_to(self.receiver) or sides.answers(self.receiver)):
            return False
        if self.parties and not any(sides.is_from(name) or sides.is_to(name) for name in self.parties):
            return False
        if self.type is not None and seen.type != self.type:
            return False
        if self.slower is not None and (seen.duration is None or seen.duration < self.slower * 1000):
            return False
        return all(
            pattern is None or fnmatchcase(found or "", pattern)
            for pattern, found in (
                (self.interface, seen.interface),
                (self.member, seen.member),
                (self.path, seen.path),
            )
        )

    def rules(self, owners: dict[str, str]) -> list[str]:
        """Return match rules for a monitor: everything, or what the named connections send and get.

        Names are given as they are and as the unique names of their owners, since dbus-broker compares the
        rules of monitors with the latter alone.
        """
        names = [name for name in (self.sender, self.receiver, *self.parties) if name is not None]
        if not names:
            return []
        every = dict.fromkeys(one for name in names for one in (name, owners.get(name, name)))
        return [OWNERS, *(f"{key}='{name}'" for name in every for key in ("sender", "destination"))]


class _Sides:
    """Who sends a message, and to which connection."""

    def __init__(self, seen: Seen, ledger: Ledger) -> None:
        self._seen = seen
        self._owners = ledger.owners

    def is_from(self, name: str) -> bool:
        return self._owners.get(name, name) == self._seen.parties[0]

    def is_to(self, name: str) -> bool:
        if name == self._seen.destination:
            return True
        return self._owners.get(name, name) == self._seen.parties[1] is not None

    def answers(self, name: str) -> bool:
        call = self._seen.call
        return call is not None and (name == call.destination or self.is_from(name))
