"""Plans: what the player does and expects, as lines of words that a tab separates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

VERSION: Final = "omnibus-plan 1"
NONE: Final = -1


@dataclass
class Event:
    """Something that the player waits for or counts: at least ``least`` and at most ``most`` times.

    ``key`` says what it is: ``m SENDER SERIAL`` a message of a client, ``r CONNECTION SERIAL`` an answer to a
    call, ``n NAME OLD NEW`` a NameOwnerChanged, ``a CONNECTION NAME`` a NameAcquired, ``u NAME N`` its N-th
    wanted start, ``x CONNECTION`` the bus has closed a connection.
    """

    id: int
    line: int
    key: tuple[str, ...]
    least: int = 0
    most: int = 0
    answer: str = ""  # of an answer: r, or the name of the error, or e for any error, or empty for any

    def text(self) -> str:
        """Return its line of the plan."""
        words = ("E", self.line, self.least, self.most, self.answer, *self.key)
        return "\t".join(map(str, words))


@dataclass
class Op:
    """What a connection does next: ``H`` connect and Hello, ``c``, ``r``, ``e``, ``s`` send, ``X`` close."""

    index: int
    connection: str
    line: int
    t: int
    kind: str
    start: bool = False  # before the measurement
    waits: set[int] = field(default_factory=set)
    broadcasts: int = 0  # of a close: how many the connection has got before
    own: int = NONE  # the event of this message's own receipt
    reply: int = NONE
    flags: int = 0
    serial: int = 0
    reply_serial: int = 0
    dest: str = ""
    path: str = ""
    interface: str = ""
    member: str = ""
    error: str = ""
    body: str = ""  # a signature, and the values; P pads to the size
    size: int = 0
    fds: int = 0
    group: str = ""  # of calls, for their times
    done: int | None = None  # the event that shows that the bus has taken it

    def text(self) -> str:
        """Return its line of the plan."""
        waits = ",".join(map(str, sorted(self.waits)))
        words: list[object] = ["O", self.connection, self.line, self.t, self.kind]
        words += [int(self.start), waits, self.broadcasts]
        words += [self.own, self.reply, self.flags, self.serial, self.reply_serial]
        words += [self.dest, self.path, self.interface]
        words += [self.member, self.error, self.body, self.size, self.fds, self.group]
        return "\t".join(map(str, words))


@dataclass
class Plan:
    """A log-in to replay, and what became of the trace on the way."""

    name: str
    events: list[Event] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    activatable: set[str] = field(default_factory=set)
    omitted: dict[str, int] = field(default_factory=dict)  # messages that are not played, by reason
    broadcasts: int = 0
    as_recorded: int = 0  # of these, broadcasts whose receivers follow from the rules as recorded
    undecided: int = 0  # pairs of a broadcast and a rule whose order the trace does not enforce

    def text(self) -> str:
        """Return the plan as the player reads it."""
        connections = 1 + max((int(op.connection) for op in self.ops), default=0)
        head = ("C", connections, len(self.events), len(self.ops))
        lines = [VERSION, "\t".join(map(str, head))]
        lines += [event.text() for event in self.events]
        lines += [op.text() for op in sorted(self.ops, key=lambda op: not op.start)]
        return "\n".join(lines) + "\n"

    def omit(self, reason: str) -> None:
        """Count a message that is not played."""
        self.omitted[reason] = self.omitted.get(reason, 0) + 1
