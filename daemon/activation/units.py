"""Watches the units that systemd was asked to start, since it does not report their failure.

systemd sends ActivationFailure only if it can't even queue the start. A unit that starts and fails, one whose
condition is not met, and one that a failed dependency holds up all leave the caller to its time-out. Its
signals would help, but they need a subscription to every change of every unit, and carry the unit's own name,
where a service file mostly has an alias. So the unit is queried: at once, and repeatedly while the name has
no owner. The query is behind the request in systemd's queue, so every reply describes the state after it.

As long as the unit has a job its state decides nothing, and a unit of Type=dbus has one until it owns its
name. So a query asks for the job, and only when there is none for all properties, which are ten kilobytes and
half a millisecond of Python. Of a transient unit that has failed, the last query asks how its program ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from ...transport.relay import Event, Relay
from ...transport.relay.message import METHOD_CALL
from .. import errors
from ..codec import make_body
from ..errors import DBusError
from .systemd import (
    EXEC_START,
    JOB,
    MANAGER_NAME,
    SERVICE_INTERFACE,
    UNIT_INTERFACE,
    ProgramEnd,
    UnitState,
    has_job,
    unit_path,
)
from .tools import Tools

FIRST_SERIAL: Final = 0x8000_0000  # lower ones are the data plane's
SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
FAILED: Final = "failed"


class Step(Enum):
    """What the next query asks for: member and arguments."""

    JOB = auto()
    STATE = auto()
    EXIT = auto()


QUERIES: Final = {
    Step.JOB: ("Get", UNIT_INTERFACE, JOB),
    Step.STATE: ("GetAll", UNIT_INTERFACE),
    Step.EXIT: ("Get", SERVICE_INTERFACE, EXEC_START),
}
Found = UnitState | ProgramEnd | bool | None
READERS: Final[dict[Step, Callable[[Event], Found]]] = {
    Step.JOB: has_job,
    Step.STATE: UnitState.from_reply,
    Step.EXIT: ProgramEnd.from_reply,
}


class WatchedUnit:
    """A watched unit; ``since`` in microseconds of CLOCK_MONOTONIC, as in systemd.

    ``transient``: the bus has made it, for a program whose exit is reported.
    """

    def __init__(
        self, unit: str, since: int, pause: float = SHORTEST_PAUSE, *, transient: bool = False
    ) -> None:
        self.unit = unit
        self.since = since
        self.pause = pause
        self.transient = transient
        self.step = Step.JOB


def unit_failed(unit: str) -> DBusError:
    """Return the error of a unit of which no more is known."""
    return DBusError(errors.SPAWN_FAILED, f"Unit {unit} failed")


def verdict(unit: str, state: UnitState, since: int) -> DBusError | None:
    """Return the error of a unit that won't become active; None while it still may.

    A unit that has exited successfully may have left a daemon in the background, so it is not an error.
    """
    if state.job:
        return None
    if state.active == FAILED:
        return unit_failed(unit)
    if state.active != "inactive" or state.left_inactive >= since:
        return None
    if state.condition_checked >= since and not state.condition_met:
        return DBusError(errors.SPAWN_FAILED, f"Unit {unit} was not started: a condition is not met")
    return DBusError(errors.SPAWN_FAILED, f"Unit {unit} was not started")


class Units:
    """Watches units, by one query at a time.

    ``failed`` is called once for a unit that won't become active, or, if it is transient, ``ended`` with path
    and wait(2) status of its program.
    """

    def __init__(
        self,
        relay: Relay,
        tools: Tools,
        can_be_asked: Callable[[], bool],
        failed: Callable[[str, DBusError], None],
        ended: Callable[[str, str, int], None],
    ) -> None:
        self._relay = relay
        self._tools = tools
        self._can_be_asked = can_be_asked
        self._failed = failed
        self._ended = ended
        self._watches: dict[str, WatchedUnit] = {}
        self._due: deque[WatchedUnit] = deque()
        self._asked: WatchedUnit | None = None
        self._serial = FIRST_SERIAL

    @property
    def serial(self) -> int:
        """The serial of the latest query."""
        return self._serial

    @property
    def watched(self) -> list[WatchedUnit]:
        """All watched units."""
        return list(self._watches.values())

    def restore(self, serial: int, watches: Sequence[WatchedUnit]) -> None:
        """Watch these units, each queried anew after its pause, by serials behind ``serial``."""
        self._serial = serial
        for watch in watches:
            self._watches[watch.unit] = watch
            self._pause(watch)

    def watch(self, unit: str, *, transient: bool = False) -> None:
        """Watch a unit that systemd has just been asked to start."""
        if self._can_be_asked():
            since = int(self._tools.now() * 1_000_000)
            watch = self._watches[unit] = WatchedUnit(unit, since, transient=transient)
            self._ask(watch)

    def forget(self, unit: str) -> None:
        """Stop watching a unit."""
        self._watches.pop(unit, None)
        if not self._watches:
            self.manager_gone()  # no reply is expected

    def answered(self, serial: int, reply: Event | None) -> None:
        """Handle systemd's reply; if it is malformed, or None, the unit is left to its time-out."""
        watch = self._asked
        if watch is None or serial != self._serial:
            return
        # It may raise, after which this is called again, with None.
        found = None if reply is None else READERS[watch.step](reply)
        self._asked = None
        if self._watches.get(watch.unit) is watch:
            self._judge(watch, found)
        self._next()

    def manager_gone(self) -> None:
        """Drop all units, as systemd has gone: the starts are left to their time-out."""
        self._asked = None
        self._watches.clear()
        self._due.clear()

    def _judge(self, watch: WatchedUnit, found: Found) -> None:
        """Go on with the answer to the latest query; None: it is unknown, and so is the fate of the unit."""
        step, watch.step = watch.step, Step.JOB
        if step is Step.EXIT:
            self._end(watch, found if isinstance(found, ProgramEnd) else None)
        elif isinstance(found, UnitState):
            self._judge_state(watch, found)
        elif found is None:
            del self._watches[watch.unit]
        elif found:
            self._pause(watch)
        else:
            self._go_on(watch, Step.STATE)

    def _judge_state(self, watch: WatchedUnit, state: UnitState) -> None:
        error = verdict(watch.unit, state, watch.since)
        if error is None:
            self._pause(watch)
        elif watch.transient and state.active == FAILED:
            self._go_on(watch, Step.EXIT)
        else:
            self._fail(watch, error)

    def _go_on(self, watch: WatchedUnit, step: Step) -> None:
        watch.step = step
        self._due.appendleft(watch)

    def _end(self, watch: WatchedUnit, end: ProgramEnd | None) -> None:
        if end is None:
            self._fail(watch, unit_failed(watch.unit))
        else:
            del self._watches[watch.unit]
            self._ended(watch.unit, end.path, end.status)

    def _fail(self, watch: WatchedUnit, error: DBusError) -> None:
        del self._watches[watch.unit]
        self._failed(watch.unit, error)

    def _pause(self, watch: WatchedUnit) -> None:
        self._tools.later(watch.pause, lambda: self._ask(watch), lambda error: self._drop(watch))
        watch.pause = min(watch.pause * 2, LONGEST_PAUSE)

    def _drop(self, watch: WatchedUnit) -> None:
        """Drop a unit that can't be queried: it is left to its time-out."""
        if self._watches.get(watch.unit) is watch:
            del self._watches[watch.unit]
        if self._asked is watch:
            self._asked = None
        self._next()

    def _ask(self, watch: WatchedUnit) -> None:
        if self._watches.get(watch.unit) is watch:
            self._due.append(watch)
            self._next()

    def _next(self) -> None:
        while self._asked is None and self._due:
            watch = self._due.popleft()
            if self._watches.get(watch.unit) is not watch:
                continue
            self._asked = watch
            self._serial = FIRST_SERIAL | (self._serial + 1) & (FIRST_SERIAL - 1)
            member, *arguments = QUERIES[watch.step]
            self._relay.send(
                METHOD_CALL,
                MANAGER_NAME,
                unit_path(watch.unit),
                "org.freedesktop.DBus.Properties",
                member,
                signature := "s" * len(arguments),
                make_body(signature, arguments),
                self._serial,
            )
