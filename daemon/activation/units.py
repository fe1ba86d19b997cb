"""Watches the units that the service manager was asked for, since it tells nobody how that goes.

systemd sends ActivationFailure only if it can't even queue the start. A unit that starts and fails, one whose
condition is not met, and one that a failed dependency holds up all leave the caller to its time-out. Its
signals would tell, but it sends them only to who subscribes, with every change of every unit, and under the
unit's own name, where a service file mostly knows an alias. So the unit is asked how it is: at once, and then
again and again while its name has no owner. The questions stand behind the request in systemd's queue, so
every answer is about the time after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ...transport.relay.message import METHOD_CALL
from .. import errors
from ..codec import make_body
from ..errors import DBusError
from ..plane import DataPlane
from .systemd import MANAGER_NAME, UNIT_INTERFACE, UnitState, unit_path
from .tools import Tools

FIRST_SERIAL: Final = 0x8000_0000  # below are the data plane's own
SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0


class Watch:
    """One unit; ``since`` in microseconds of CLOCK_MONOTONIC, as systemd counts."""

    def __init__(self, unit: str, since: int) -> None:
        self.unit = unit
        self.since = since
        self.pause = SHORTEST_PAUSE


def verdict(unit: str, state: UnitState, since: int) -> DBusError | None:
    """Say why a unit won't come up any more; None while it still may.

    A unit that has started and ended well may have left something in the background: it is waited for.
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
    """``failed`` is called once for a unit that won't come up; one question at a time is under way."""

    def __init__(
        self,
        relay: DataPlane,
        tools: Tools,
        can_be_asked: Callable[[], bool],
        failed: Callable[[str, DBusError], None],
    ) -> None:
        self._relay = relay
        self._tools = tools
        self._can_be_asked = can_be_asked
        self._failed = failed
        self._watches: dict[str, Watch] = {}
        self._due: deque[Watch] = deque()
        self._asked: Watch | None = None
        self._serial = FIRST_SERIAL

    def watch(self, unit: str) -> None:
        """Begin: the manager has just been told to start it."""
        if self._can_be_asked():
            watch = self._watches[unit] = Watch(unit, int(self._tools.now() * 1_000_000))
            self._ask(watch)

    def forget(self, unit: str) -> None:
        """Nobody waits for the unit any more."""
        self._watches.pop(unit, None)
        if not self._watches:
            self.manager_gone()  # no answer is waited for

    def answered(self, serial: int, state: UnitState | None) -> None:
        """Take the manager's answer; None is no sensible one: the unit is left to its time-out."""
        watch = self._asked
        if watch is None or serial != self._serial:
            return
        self._asked = None
        if self._watches.get(watch.unit) is watch:
            self._judge(watch, state)
        self._next()

    def manager_gone(self) -> None:
        """There is nobody to ask any more: what is under way is left to its time-out."""
        self._asked = None
        self._watches.clear()
        self._due.clear()

    def _judge(self, watch: Watch, state: UnitState | None) -> None:
        error = None if state is None else verdict(watch.unit, state, watch.since)
        if state is not None and error is None:
            self._pause(watch)
            return
        del self._watches[watch.unit]
        if error is not None:
            self._failed(watch.unit, error)

    def _pause(self, watch: Watch) -> None:
        self._tools.later(watch.pause, lambda: self._ask(watch), lambda error: self._drop(watch))
        watch.pause = min(watch.pause * 2, LONGEST_PAUSE)

    def _drop(self, watch: Watch) -> None:
        """Watch a unit no more that can't be asked: it is left to its time-out."""
        if self._watches.get(watch.unit) is watch:
            del self._watches[watch.unit]
        if self._asked is watch:
            self._asked = None
        self._next()

    def _ask(self, watch: Watch) -> None:
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
            self._relay.send(
                METHOD_CALL,
                MANAGER_NAME,
                unit_path(watch.unit),
                "org.freedesktop.DBus.Properties",
                "GetAll",
                "s",
                make_body("s", [UNIT_INTERFACE]),
                self._serial,
            )
