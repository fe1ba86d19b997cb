"""Makes a plan of a trace: which connection sends what, and what each message waits for.

A message waits for

- the replies that its sender had before it, and the call that it answers;
- what was recorded before it, came from another connection, and changes what the bus does with it: a rule
  that does or did match a broadcast, an owner of the name that it is sent to or asks about; and vice versa;
- of a started service, Hello: for the bus to want the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from .bodies import DRIVER, QUERIES, driver_body, signal_body
from .plan import NONE, Event, Op, Plan
from .recorded_bus import UNIQUE, Connection, RecordedBus
from .rules import Subject
from .trace import BROADCAST, BUS, CALL, ERROR, SIGNAL, Line

SYSTEMD: Final = "org.freedesktop.systemd1"
BETWEEN: Final = "calls between clients"
STARTS: Final = "StartServiceByName that starts"
UNOWNED: Final = "calls to unowned names"
NO_REPLY, NO_AUTO_START = 1, 2
ALLOW_REPLACEMENT, REPLACE_EXISTING, DO_NOT_QUEUE = 1, 2, 4
NOT_PLAYED: Final = {
    f"{DRIVER}.Error.AccessDenied": "denied by the policy",
    f"{DRIVER}.Error.TimedOut": "waits for a start that timed out",
}
"""Calls with these answers are left out: configurations and 25 seconds are not what is measured."""


class Planner(RecordedBus):
    """Goes through the lines of a trace."""

    def __init__(self, name: str, lines: Sequence[Line], until: int, running: bool = False) -> None:
        super().__init__(Plan(name))
        self.lines = [line for line in lines if line.t <= until]
        self.running = running
        self.replies = {(line.dest, line.reply_serial): line for line in lines if line.answers}
        self.calls = {(line.sender, line.serial): line for line in lines if line.type == CALL}
        self.pending: dict[str, tuple[Op, Event]] = {}  # names that are being started
        self.starts: dict[str, int] = {}
        self.found: dict[str, list[str]] = {}  # connections of services that were started, and those names
        self.requests: dict[tuple[str, str], Op] = {}
        self.moved: set[int] = set()  # lines that are played before the measurement
        self.early_names: set[str] = set()  # of services that are there before, unlike in the record

    def run(self) -> Plan:
        """Return the plan."""
        self._prologue()
        for at, line in enumerate(self.lines):
            if line.number not in self.moved:
                self._line(at, line)
        return self.plan

    # Connections and names that were there before

    def _prologue(self) -> None:
        greeting = {line.sender for line in self.lines if line.member == "Hello" and line.to_bus}
        early: dict[str, list[str]] = {}
        for line in self.lines:
            if line.sender != BUS and line.sender not in greeting:
                early.setdefault(line.sender, [])
            if line.to_bus and line.member in QUERIES and (found := UNIQUE.fullmatch(line.arg)):
                answer = self.replies.get((line.sender, line.serial))
                if found[1] not in greeting and answer and answer.type != ERROR:
                    early.setdefault(found[1], [])
        requested = {line.arg for line in self.lines if line.member == "RequestName" and line.to_bus}
        for line in self.lines:
            name = line.dest_name
            answer = self.replies.get((line.sender, line.serial)) if line.type == CALL else None
            owner = answer.sender if answer else line.dest
            if name and name not in requested and owner in early and name not in early[owner]:
                early[owner].append(name)
        asked = any(line.member == "ActivationRequest" for line in self.lines)
        if asked and SYSTEMD not in requested and not any(SYSTEMD in names for names in early.values()):
            early.setdefault("0", []).append(SYSTEMD)
        for number, names in early.items():
            self._early(number, names)
        if self.running:
            self._run_services()

    def _early(self, number: str, names: Iterable[str]) -> None:
        """Let a connection be there, with its names, before the measurement."""
        connection = self._connection(number)
        if not connection.open:
            hello = self._op(connection, None, "H", start=True)
            hello.member, hello.serial = "Hello", MOST_SERIAL
            hello.reply = self._answer_event(connection, hello).id
            hello.done = hello.reply
            self.written[f":1.{number}"] = hello
            connection.open = True
        for name in names:
            op = self._op(connection, None, CALL, start=True)
            self._to_driver(op, "RequestName", f"su|{name}|0")
            op.serial = MOST_SERIAL - len(connection.ops)
            op.reply = self._answer_event(connection, op).id
            op.done = op.reply
            self.owners[name] = number
            self.written[name] = op

    def _run_services(self) -> None:
        """Move Hello and RequestName of each started service that stays before the measurement."""
        as_recorded = Planner(self.plan.name, self.lines, self.lines[-1].t)
        as_recorded.run()
        closing = {line.owners[1] for line in self.lines if line.arg.startswith(":") and line.owners[2] == ""}
        for number, names in as_recorded.found.items():
            if number in closing:  # it does not stay, and has to be started again
                continue
            self._early(number, names)
            self.early_names.update(names)
            for line in self.lines:
                call = self.calls.get((line.dest, line.reply_serial)) if line.answers else line
                owner = line.owners[2] if line.member == "NameOwnerChanged" else line.dest
                gone = {"", *names, f":1.{number}"}
                about = call is not None and call.sender == number and call.to_bus
                if about and call and call.member in ("Hello", "RequestName") and call.arg in gone:
                    self.moved.add(line.number)
                told = line.sender == BUS and line.member in ("NameOwnerChanged", "NameAcquired")
                if told and owner == number and line.arg.partition(">")[0] in gone:
                    self.moved.add(line.number)

    # The lines

    def _line(self, at: int, line: Line) -> None:
        if line.sender == BUS:
            self._from_bus(at, line)
        elif line.type == CALL and line.dest == BUS:
            self._driver_call(line)
        elif line.dest == BROADCAST:
            self._broadcast(line)
        else:
            self._unicast(line)

    def _from_bus(self, at: int, line: Line) -> None:
        if line.answers:
            event = self.events.get(("r", line.dest, str(line.reply_serial)))
            if event is not None and event.least and self._is_open(line.dest):
                self.connections[line.dest].has_answer(event.id)
        elif line.member == "NameOwnerChanged":
            self._owner_changed(at, line)
        elif line.member == "NameAcquired" and self._is_open(line.dest):
            self._count(("a", line.dest, self._text(line.arg)), line, 1, 1)

    def _driver_call(self, line: Line) -> None:
        answer = self.replies.get((line.sender, line.serial))
        if reason := self._left_out(line, answer):
            self.plan.omit(reason)
            return
        connection = self._connection(line.sender)
        op = self._op(connection, line, "H" if line.member == "Hello" else CALL)
        op.path, op.interface, op.member, op.dest = line.path, line.interface, line.member, DRIVER
        op.body, op.group = driver_body(line, self._text(line.arg), self._request_flags(line)), line.member
        self._expect_answer(connection, op, line, answer)
        op.done = op.reply if op.reply != NONE else None
        if op.done is not None:
            for broadcast in connection.unseen:
                broadcast.shown = op.done
            connection.unseen.clear()
        self._driver_effect(connection, op, line, answer)

    def _driver_effect(self, connection: Connection, op: Op, line: Line, answer: Line | None) -> None:
        name = line.arg
        if line.member == "Hello":
            connection.open = True
            self._write(f":1.{connection.number}", op)
        elif line.member in ("AddMatch", "RemoveMatch"):
            if answer is None or answer.type != ERROR:
                self._rule(connection, op, line)
        elif line.member in ("RequestName", "ReleaseName"):
            self._write(name, op)
            self.requests[connection.number, name] = op
        elif line.member in QUERIES:
            if line.member == "StartServiceByName":
                if answer and answer.type != ERROR and name != DRIVER:
                    self.plan.activatable.add(
                        name
                    )  # a bus starts nothing without a file, be it there already
                self._want(name, op, line, answer)
            self._read(name, op)

    def _unicast(self, line: Line) -> None:
        answer = self.replies.get((line.sender, line.serial)) if line.type == CALL else None
        answered = self.calls.get((line.dest, line.reply_serial)) if line.answers else None
        if reason := self._left_out(line, answer, answered):
            self.plan.omit(reason)
            return
        connection = self._connection(line.sender)
        op = self._op(connection, line, line.type)
        op.path, op.interface, op.member, op.error = line.path, line.interface, line.member, line.error
        op.reply_serial = line.reply_serial
        op.dest = self._text(line.dest_name or f":1.{line.dest}")
        op.body = "P"
        if line.answers:
            self._answer(op, line)
        else:
            self._call_or_signal(connection, op, line, answer)

    def _answer(self, op: Op, line: Line) -> None:
        call = self.events.get(("m", line.dest, str(line.reply_serial)))
        if call is not None and call.least:
            op.waits.add(call.id)
        event = self.events.get(("r", line.dest, str(line.reply_serial)))
        if not self._is_open(line.dest):  # a bus may say so
            refused = self._event(("r", line.sender, str(line.serial)), line)
            refused.most, refused.answer = 1, "e"
        elif event is not None and event.least:
            op.done = op.own = event.id
            self.connections[line.dest].has_answer(event.id)
        self._read(f":1.{line.dest}", op)

    def _call_or_signal(self, connection: Connection, op: Op, line: Line, answer: Line | None) -> None:
        name = line.dest_name or f":1.{line.dest}"
        if line.type == CALL:
            op.group = BETWEEN
            self._expect_answer(connection, op, line, answer)
            self._want(name, op, line, answer)
        owner = self.owners.get(name, "") if line.dest_name else line.dest
        waiting = name in self.pending
        if waiting:
            owner = self._later_owner(name, line)
        receiver = owner if waiting or self._is_open(owner) else ""
        event = self._event(("m", line.sender, str(line.serial)), line)
        if receiver:
            event.least = event.most = 1
            self._connection(receiver).to_receive.add(event.id)
        if waiting:
            op.group = ""
            op.done = None
        elif receiver:
            op.done = op.own = event.id
        elif op.reply != NONE:
            op.done = op.reply
            op.group = UNOWNED
        self._read(name, op)

    def _broadcast(self, line: Line) -> None:
        connection = self._connection(line.sender)
        op = self._op(connection, line, SIGNAL)
        op.path, op.interface, op.member = line.path, line.interface, line.member
        arguments = self._arguments(connection, line)
        op.body = signal_body(arguments)
        event = self._event(("m", line.sender, str(line.serial)), line)
        subject = self._subject(connection.number, line, arguments)
        self._deliver(op, event, subject, line)

    def _want(self, name: str, op: Op, line: Line, answer: Line | None) -> None:
        """A call to an unowned name makes the bus start its owner, if it can."""
        if name in self.owners or name.startswith(":") or line.flags & NO_AUTO_START:
            return
        refused = answer is not None and answer.sender == BUS and answer.type == ERROR
        if refused and answer and not answer.error.endswith("NoReply"):
            return
        if answer is None and name not in self.plan.activatable and not self._later_owner(name, line):
            return
        op.group = STARTS
        op.done = None
        self._read(SYSTEMD, op)
        self.plan.activatable.add(name)
        if name not in self.pending:
            self.starts[name] = self.starts.get(name, 0) + 1
            event = self._event(("u", name, str(self.starts[name])), line)
            event.least = event.most = 1
            self.pending[name] = (op, event)

    def _later_owner(self, name: str, line: Line) -> str:
        """Return the next owner of a name, if the trace has one."""
        for later in self.lines[self._position(line) :]:
            if later.member == "NameOwnerChanged" and later.sender == BUS:
                changed, _, new = later.owners
                if changed == name and new:
                    return new
        return ""

    def _position(self, line: Line) -> int:
        return line.number - self.lines[0].number

    def _owner_changed(self, at: int, line: Line) -> None:
        name, old, new = line.owners
        if name.startswith(":") and name[3:] not in self.connections:
            return
        if any(owner and owner not in self.connections for owner in (old, new)):
            return
        op = self._cause(name, old, new, line)
        if op is None:
            self.plan.omit("changes of owners without a cause")
            return
        if new:
            self._started(name, new)
        names = {0: self._text(name), 1: self._unique(old), 2: self._unique(new)}
        event = self._event(("n", *names.values()), line)
        plain = {0: name, 1: f":1.{old}" if old else "", 2: f":1.{new}" if new else ""}
        subject = Subject(frozenset({DRIVER}), DRIVER, line.member, line.path, plain)
        self._deliver(op, event, subject, line)
        if new:
            self.owners[name] = new
        else:
            self.owners.pop(name, None)

    def _cause(self, name: str, old: str, new: str, line: Line) -> Op | None:
        """Return what changed the owner: Hello, RequestName, ReleaseName, or the close that follows."""
        for owner in (new, old):
            op = self.requests.get((owner, name))
            if op is not None and op.member == ("RequestName" if owner == new else "ReleaseName"):
                if owner == new and old:
                    self._replaced(op, old, name, line)
                if owner == old or (
                    self.connections[new].ops[-1].line >= op.line and not self._leaving(old, line)
                ):
                    return op
        if not old:
            return self.written.get(name)
        return self._close(self.connections[old], line)

    def _leaving(self, old: str, line: Line) -> bool:
        """Whether the old owner has closed: it loses its names, and then its own."""
        if not old:
            return False
        for later in self.lines[self._position(line) :]:
            if later.sender != BUS:
                return False
            if later.member == "NameOwnerChanged" and later.owners == (f":1.{old}", old, ""):
                return True
        return False

    def _replaced(self, op: Op, old: str, name: str, line: Line) -> None:
        """Give both the flags that let one take the other's name; a queue does without."""
        owner = self.requests.get((old, name))
        if owner is None or self._leaving(old, line) or owner.member == "ReleaseName":
            return
        op.body = f"su|{name}|{REPLACE_EXISTING}"
        owner.body = f"su|{name}|{ALLOW_REPLACEMENT}"

    def _close(self, connection: Connection, line: Line) -> Op:
        if connection.ops and connection.ops[-1].kind == "X":
            return connection.ops[-1]
        op = self._op(connection, line, "X")
        event = self._event(("x", connection.number), line)
        event.least = event.most = 1
        op.done = event.id
        op.waits |= connection.to_receive
        for earlier in connection.ops:
            if earlier.reply != NONE and earlier.reply not in connection.had:
                self.plan.events[earlier.reply].least = 0
        op.broadcasts = connection.broadcasts
        connection.open = False
        for name, owner in list(self.owners.items()):
            if owner == connection.number:
                self._write(name, op)
        self._write(f":1.{connection.number}", op)
        self._drop_rules(connection, op)
        return op

    def _started(self, name: str, number: str) -> None:
        wanted = self.pending.pop(name, None)
        if wanted is None:
            return
        op, event = wanted
        hello = self.connections[number].ops[0]
        if hello.index > op.index:
            hello.waits.add(event.id)
            self.found.setdefault(number, []).append(name)

    # Messages

    def _left_out(self, line: Line, answer: Line | None, answered: Line | None = None) -> str:
        for found in (answer, self.replies.get((line.dest, line.reply_serial)) if line.answers else None):
            if found is not None and found.sender == BUS and found.error in NOT_PLAYED:
                return NOT_PLAYED[found.error]
        if line.interface == f"{DRIVER}.Debug.Stats" and line.to_bus:
            return "questions of the recording about the bus"
        if line.answers and answered is None:
            return "answers to calls that were not recorded"
        if line.dest_name in self.early_names and answer and answer.sender == BUS:
            return "to a service that was not there in the record"
        if line.dest.isdigit() and line.dest not in self.connections:
            return "to connections that were not recorded"
        return ""

    def _request_flags(self, line: Line) -> int:
        """A request for another's name that never gets it did not want to queue."""
        owner = self.owners.get(line.arg)
        if owner in (None, line.sender):
            return 0
        return 0 if self._later_owner(line.arg, line) == line.sender else DO_NOT_QUEUE

    def _expect_answer(self, connection: Connection, op: Op, line: Line, answer: Line | None) -> None:
        event = self._event(("r", connection.number, str(line.serial)), answer or line)
        event.most = 1
        if answer is None or answer.number > self.lines[-1].number:
            return
        event.least = 0 if line.flags & NO_REPLY else 1  # a bus may refuse even what wants no answer
        event.answer = "r" if answer.type != ERROR else answer.error if answer.sender == BUS else "e"
        if line.to_bus and line.member in QUERIES and line.arg in self.early_names:
            event.answer = "r"  # it is there already, unlike in the record
        if event.least:
            op.reply = event.id

    def _answer_event(self, connection: Connection, op: Op) -> Event:
        event = self._event(("r", connection.number, str(op.serial)), None)
        event.least, event.most, event.answer = 1, 1, "r"
        return event

    @staticmethod
    def _to_driver(op: Op, member: str, body: str) -> None:
        op.dest = op.interface = DRIVER
        op.path, op.member, op.body = "/org/freedesktop/DBus", member, body


MOST_SERIAL: Final = 0xFFFF0000
"""Serials of what is sent before the measurement: no recorded one."""
