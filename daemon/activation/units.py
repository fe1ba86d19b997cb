"""Watches the units that systemd was asked to start, since it does not report their failure.

systemd sends ActivationFailure only if it can't even queue the start. A unit that starts and fails, one whose
condition is not met, and one that a failed dependency holds up all leave the caller to its time-out. Its
signals would help, but they need a subscription to every change of every unit, and carry the unit's own name,
where a service file mostly has an alias. So the unit is queried: at once, and repeatedly while the name has
no owner. The query is behind the request in systemd's queue, so every reply describes the state after it.

As long as the unit has a job its state decides nothing, and a unit of Type=dbus has one until it owns its
name. So a query asks for the job, and only when there is none for all properties, which are ten kilobytes and
half a millisecond of Python.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ...transport.relay import Event, Relay
from ...transport.relay.message import METHOD_CALL
from .. import errors
from ..codec import make_body
from ..errors import DBusError
from .systemd import JOB, MANAGER_NAME, UNIT_INTERFACE, UnitState, has_job, unit_path
from .tools import Tools

FIRST_SERIAL: Final = 0x8000_0000  # lower ones are the data plane's
SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class WatchedUnit:
    """A watched unit; ``since`` in microseconds of CLOCK_MONOTONIC, as in systemd.

    ``job``: it may have a job, which is the next thing to query.
    """

    def __init__(self, unit: str, since: int, pause: float = SHORTEST_PAUSE) -> None:
        self.unit = unit
        self.since = since
        self.pause = pause
        self.job = True


def verdict(unit: str, state: UnitState, since: int) -> DBusError | None:
    """Return the error of a unit that won't become active; None while it still may.

    A unit that has exited successfully may have left a daemon in the background, so it is not an error.
    """
    if state.job:
        return None
    if state.active == "failed":
        return DBusError(errors.SPAWN_FAILED, f"Unit {unit} failed")
    if state.active != "inactive" or state.left_inactive >= since:
        return None
    if state.condition_checked >= since and not state.condition_met:
        return DBusError(errors.SPAWN_FAILED, f"Unit {unit} was not started: a condition is not met")
    return DBusError(errors.SPAWN_FAILED, f"Unit {unit} was not started")


class Units:
    """Calls ``failed`` once for a unit that won't become active; there is one query at a time."""

    def __init__(
        self,
        relay: Relay,
        tools: Tools,
        can_be_asked: Callable[[], bool],
        failed: Callable[[str, DBusError], None],
    ) -> None:
        self._relay = relay
        self._tools = tools
        self._can_be_asked = can_be_asked
        self._failed = failed
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

    def watch(self, unit: str) -> None:
        """Watch a unit that systemd has just been asked to start."""
        if self._can_be_asked():
            watch = self._watches[unit] = WatchedUnit(unit, int(self._tools.now() * 1_000_000))
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
        found = None if reply is None else has_job(reply) if watch.job else UnitState.from_reply(reply)
        self._asked = None
        if self._watches.get(watch.unit) is watch:
            self._judge(watch, found)
        self._next()

    def manager_gone(self) -> None:
        """Drop all units, as systemd has gone: the starts are left to their time-out."""
        self._asked = None
        self._watches.clear()
        self._due.clear()

    def _judge(self, watch: WatchedUnit, found: UnitState | bool | None) -> None:
        """Go on with a unit that has this state, or for which a job is queued or not; None: it is unknown."""
        if found is False:
            watch.job = False
            self._due.appendleft(watch)
            return
        watch.job = True
        error = verdict(watch.unit, found, watch.since) if isinstance(found, UnitState) else None
        if found is not None and error is None:
            self._pause(watch)
            return
        del self._watches[watch.unit]
        if error is not None:
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
            member, *arguments = ("Get", UNIT_INTERFACE, JOB) if watch.job else ("GetAll", UNIT_INTERFACE)
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
