"""The bus of a recorded log-in, as a planner knows it: connections, rules, names, and their order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from .plan import Event, Op, Plan
from .rules import Rule, Subject
from .rules import parse as parse_rule
from .trace import Line, TraceError

UNIQUE: Final = re.compile(r":1\.(\d+)")


@dataclass
class Change:
    """A rule that appeared or went: the message that did it, and from when on."""

    connection: str
    op: Op
    rule: Rule


@dataclass
class Broadcast:
    """One that was sent: by which message, and what rules see of it."""

    op: Op
    event: Event
    subject: Subject
    shown: int | None  # the event that shows that the bus has taken it


@dataclass
class Connection:
    """What the planner knows of a connection."""

    number: str
    ops: list[Op] = field(default_factory=list)
    rules: list[tuple[str, Rule]] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)  # replies since its last message
    had: set[int] = field(default_factory=set)  # all of them
    to_receive: set[int] = field(default_factory=set)  # messages to it alone
    broadcasts: int = 0
    unseen: list[Broadcast] = field(default_factory=list)  # they had no receivers
    open: bool = False

    def has_answer(self, event: int) -> None:
        """Note a reply, which its next message waits for."""
        self.answered.add(event)
        self.had.add(event)


class RecordedBus:
    """The state after the lines so far, and the plan that came of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.connections: dict[str, Connection] = {}
        self.owners: dict[str, str] = {}
        self.changes: list[Change] = []
        self.sent: list[Broadcast] = []
        self.written: dict[str, Op] = {}  # the last message that changed a name's owner
        self.read: dict[str, list[Op]] = {}  # messages since then that depend on it
        self.events: dict[tuple[str, ...], Event] = {}

    # Rules and broadcasts

    def _subject(self, number: str, line: Line, arguments: dict[int, str]) -> Subject:
        names = {name for name, owner in self.owners.items() if owner == number}
        return Subject(frozenset({f":1.{number}", *names}), line.interface, line.member, line.path, arguments)

    def _receivers(self, subject: Subject) -> list[Connection]:
        return [
            connection
            for connection in self.connections.values()
            if connection.open and any(rule.matches(subject) for _, rule in connection.rules)
        ]

    def _arguments(self, connection: Connection, line: Line) -> dict[int, str]:
        """Find arguments with which the broadcast reaches as many as recorded: bodies are not in traces."""
        subject = self._subject(connection.number, line, {})
        candidates: list[dict[int, str]] = [{}]
        for other in self.connections.values():
            for _, rule in other.rules:
                if rule.arguments and rule.matches_but_arguments(subject):
                    found = {index: value for index, _, value in rule.arguments}
                    if found not in candidates:
                        candidates.append(found)
        for candidate in candidates:
            subject = self._subject(connection.number, line, candidate)
            if len(self._receivers(subject)) == line.receivers:
                return candidate
        return {}

    def _deliver(self, op: Op, event: Event, subject: Subject, line: Line) -> None:
        receivers = self._receivers(subject)
        event.least += len(receivers)
        event.most += len(receivers)
        self.plan.broadcasts += 1
        self.plan.as_recorded += len(receivers) == line.receivers
        last: dict[str, Op] = {}
        for change in self.changes:
            if change.connection != op.connection and change.rule.matches(subject):
                last[change.connection] = change.op
        for number, earlier in last.items():
            if not self._after(op, earlier) and earlier.kind != "X":
                event.least, event.most = max(0, event.least - 1), event.most + 1
                self.plan.undecided += 1
                receivers = [connection for connection in receivers if connection.number != number]
        for connection in receivers:
            connection.broadcasts += 1
        shown = op.done
        if shown is None and event.key[0] == "m" and receivers:
            shown = op.done = event.id
        broadcast = Broadcast(op, event, subject, shown)
        self.sent.append(broadcast)
        if shown is None:
            self.connections[op.connection].unseen.append(broadcast)

    def _rule(self, connection: Connection, op: Op, line: Line) -> None:
        try:
            rule = parse_rule(line.arg)
        except ValueError as error:
            raise TraceError(f"{self.plan.name}:{line.number}: {error}") from None
        if line.member == "AddMatch":
            connection.rules.append((line.arg, rule))
        elif (line.arg, rule) in connection.rules:
            connection.rules.remove((line.arg, rule))
        self.changes.append(Change(connection.number, op, rule))
        for found in UNIQUE.finditer(line.arg):
            self._read(found[0], op)  # it needs the name; and the bus drops a rule with its sender
        last: dict[str, int] = {}
        for sent in self.sent:
            if sent.op.connection != connection.number and rule.matches(sent.subject):
                if sent.shown is not None:
                    last[sent.op.connection] = sent.shown
                else:
                    sent.event.most += 1
                    self.plan.undecided += 1
        op.waits.update(last.values())

    def _drop_rules(self, connection: Connection, op: Op) -> None:
        self.changes += [Change(connection.number, op, rule) for _, rule in connection.rules]
        connection.rules.clear()

    @staticmethod
    def _after(op: Op, earlier: Op) -> bool:
        """Let a message wait until the bus has taken an earlier one; False if nothing shows that."""
        if earlier.done is None or earlier.index > op.index:
            return False
        op.waits.add(earlier.done)
        return True

    # Names

    def _read(self, name: str, op: Op) -> None:
        writer = self.written.get(name)
        if writer is not None and writer.connection != op.connection:
            self._after(op, writer)
        self.read.setdefault(name, []).append(op)

    def _write(self, name: str, op: Op) -> None:
        for other in (*self.read.pop(name, ()), *filter(None, [self.written.get(name)])):
            if other.connection != op.connection:
                self._after(op, other)
        self.written[name] = op

    # Messages

    def _op(self, connection: Connection, line: Line | None, kind: str, start: bool = False) -> Op:
        number, t = (line.number, line.t) if line else (0, 0)
        op = Op(len(self.plan.ops), connection.number, number, t, kind, start)
        if line:
            op.flags, op.serial, op.size, op.fds = line.flags, line.serial, line.size, line.fds
        op.waits |= connection.answered
        connection.answered.clear()
        connection.ops.append(op)
        self.plan.ops.append(op)
        return op

    def _event(self, key: tuple[str, ...], line: Line | None) -> Event:
        event = self.events.get(key)
        if event is None:
            event = Event(len(self.plan.events), line.number if line else 0, key)
            self.events[key] = event
            self.plan.events.append(event)
        return event

    def _count(self, key: tuple[str, ...], line: Line, least: int, most: int) -> None:
        event = self._event(key, line)
        event.least += least
        event.most += most

    def _connection(self, number: str) -> Connection:
        return self.connections.setdefault(number, Connection(number))

    def _is_open(self, number: str) -> bool:
        return number in self.connections and self.connections[number].open

    def _text(self, text: str) -> str:
        """Replace recorded unique names by marks for those of the replay, or by unowned names."""
        return UNIQUE.sub(lambda m: f"{{{m[1]}}}" if m[1] in self.connections else f":9.{m[1]}", text)

    def _unique(self, number: str) -> str:
        return f"{{{number}}}" if number else ""
