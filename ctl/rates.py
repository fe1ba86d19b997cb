"""Rates between two looks at a bus."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..record import Record
from .connection import Connection
from .live import Live

COUNTED = ("messages_in", "messages_out", "bytes_in", "bytes_out")
STATES = ("stalled", "paused", "monitor")


class Look(Record):
    """The connections and totals at one moment, in seconds of CLOCK_MONOTONIC."""

    when: float
    connections: tuple[Connection, ...]
    totals: dict[str, int]

    @classmethod
    def now(cls, live: Live) -> Look:
        """Look."""
        found = tuple(live.connections())
        totals = live.totals() or {}
        return cls(time.monotonic(), found, totals)


class Row(Record):
    """A connection and what passes a second; a rate is None if the bus does not count."""

    connection: Connection
    messages_in: float | None
    messages_out: float | None
    bytes_in: float | None
    bytes_out: float | None


def rows(before: Look, after: Look) -> list[Row]:
    """Return a row for each connection that is there now; of a new one all counts are of this interval."""
    old = {one.name: one for one in before.connections}
    seconds = max(1e-3, after.when - before.when)
    found = []
    for one in after.connections:
        rates = {}
        for field in COUNTED:
            new, then = getattr(one, field), getattr(old.get(one.name), field, 0) or 0
            rates[field] = None if new is None else max(0, new - then) / seconds
        found.append(Row(one, **rates))
    return found


def grouped(found: Iterable[Row], by: str) -> list[Row]:
    """Return a row for each unit, user or program, in which connections stand for their number."""
    groups: dict[str, list[Row]] = {}
    for row in found:
        groups.setdefault(row.connection.group(by), []).append(row)
    return [_sum(name, rows) for name, rows in groups.items()]


def _sum(name: str, found: Sequence[Row]) -> Row:
    def added(of: Iterable[Any]) -> Any:
        known = [value for value in of if value is not None]
        return sum(known) if known else None

    members = [row.connection for row in found]
    values: dict[str, Any] = {
        field: added(getattr(one, field) for one in members) for field in ("queued_bytes", "calls", "rules")
    }
    if any(one.stalled is not None for one in members):
        values |= {field: any(getattr(one, field) for one in members) for field in STATES}
    total = Connection(name, command=f"{len(members)} connections", **values)
    return Row(total, **{field: added(getattr(row, field) for row in found) for field in COUNTED})


def rate(before: Look, after: Look, key: str) -> float | None:
    """Return how much of a total there was a second; None if the bus does not count it."""
    if key not in after.totals or key not in before.totals:
        return None
    return max(0, after.totals[key] - before.totals[key]) / max(1e-3, after.when - before.when)
