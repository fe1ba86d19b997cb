"""The connections of a bus: names, processes, units.

omnibusctl list --sort=queued          the longest queue first
omnibusctl list --by=unit              one line a unit
omnibusctl list --gone                 connections that have ended (omnibusd only)
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from ..connection import GROUPS, Connection
from ..exits import YES
from ..live import Live
from ..output import clock, seconds, size
from ..process import command_of
from ..subjects import user_name

if TYPE_CHECKING:
    from ..buses import Target

SORTS = {
    "name": None,
    "in": "messages_in",
    "out": "messages_out",
    "queued": "queued_bytes",
    "calls": "calls",
    "rules": "rules",
}
SUMS = ("messages_in", "messages_out", "queued_bytes", "calls", "rules")


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--sort", choices=SORTS, default="name", help="what the order is by")
    parser.add_argument("--by", choices=GROUPS, default="name", help="one line for each of these")
    parser.add_argument("--gone", action="store_true", help="connections that have ended")


def run(target: Target, options: Namespace) -> int:
    """Print the connections; return YES."""
    live = Live(target)
    if options.gone:
        return _gone(target, live)
    found = live.connections()
    key = SORTS[options.sort]
    if key is not None:
        found.sort(key=lambda one: -(getattr(one, key) or 0))
    if options.by != "name":
        return _sums(target, found, options.by, key)
    output = target.output
    if output.as_json:
        output.json([one.plain() for one in found])
        return YES
    columns = (
        "NAME",
        ">PID",
        "PROCESS",
        "USER",
        "UNIT",
        ">IN",
        ">OUT",
        ">QUEUED",
        ">CALLS",
        ">RULES",
        "STATE",
    )
    output.table(columns, (_row(one) for one in found))
    if output.legend:
        output.line(f"\n{len(found)} connections{_missing(live)}")
    return YES


def _missing(live: Live) -> str:
    return "" if live.status is not None else f"; - is unknown: {live.why_not}"


def _row(one: Connection) -> tuple[Any, ...]:
    name = one.name if not one.names else f"{one.best_name} {one.name}"
    return (
        name,
        one.pid,
        one.command,
        None if one.uid is None else user_name(one.uid),
        one.unit,
        one.messages_in,
        one.messages_out,
        size(one.queued_bytes),
        one.calls,
        one.rules,
        one.state,
    )


def _sums(target: Target, found: list[Connection], by: str, key: str | None) -> int:
    groups: dict[str, list[Connection]] = {}
    for one in found:
        groups.setdefault(one.group(by), []).append(one)
    rows: list[dict[str, Any]] = [
        {by: name, "connections": len(members), **{field: _sum(members, field) for field in SUMS}}
        for name, members in groups.items()
    ]
    rows.sort(key=lambda row: (-(row.get(key or "connections") or 0), row[by]))
    output = target.output
    if output.as_json:
        output.json(rows)
        return YES
    columns = (by.upper(), ">CONNECTIONS", ">IN", ">OUT", ">QUEUED", ">CALLS", ">RULES")
    output.table(
        columns,
        (
            (
                row[by],
                row["connections"],
                row["messages_in"],
                row["messages_out"],
                size(row["queued_bytes"]),
                row["calls"],
                row["rules"],
            )
            for row in rows
        ),
    )
    return YES


def _sum(members: list[Connection], field: str) -> int | None:
    """Return the sum of what is known; None if nothing is."""
    known = [value for one in members if (value := getattr(one, field)) is not None]
    return sum(known) if known else None


def _gone(target: Target, live: Live) -> int:
    rows = live.inspect("Gone", "t", 0)
    output = target.output
    if output.as_json:
        output.json(
            [
                {
                    "name": row["UniqueName"],
                    "realtime_us": row["Time"],
                    "lifetime_us": row["Lifetime"],
                    "uid": row.get("UnixUserID"),
                    "pid": row.get("ProcessID"),
                    "command": command_of(row["Login"]),
                    "reason": row["Reason"],
                }
                for row in rows
            ]
        )
        return YES
    columns = ("ENDED", "NAME", ">PID", "PROCESS", "USER", ">AFTER", "REASON")
    output.table(
        columns,
        (
            (
                clock(row["Time"]),
                row["UniqueName"],
                row.get("ProcessID"),
                command_of(row["Login"]),
                None if "UnixUserID" not in row else user_name(row["UnixUserID"]),
                seconds(row["Lifetime"]),
                row["Reason"],
            )
            for row in rows
        ),
    )
    return YES
