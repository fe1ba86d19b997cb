"""What a bus is, how much it has to do, and whether something is wrong; the exit status is 1 then.

Wrong are: files that the bus has passed over, connections that don't read, a limit that is nearly reached
(nine tenths), and failed starts of the last hour.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any, Final

from ..connection import Connection
from ..exits import NO, YES
from ..live import Live
from ..output import clock, escape, size
from ..subjects import user_name

if TYPE_CHECKING:
    from ..buses import Target

NEARLY: Final = 0.9
HOUR: Final = 3_600_000_000


def arguments(parser: ArgumentParser) -> None:
    """There are no options."""


def run(target: Target, options: Namespace) -> int:
    """Print it; return NO if something is wrong."""
    live = Live(target)
    status = live.status
    connections = live.connections()
    totals = live.totals()
    problems = find_problems(live, connections)
    output = target.output
    if output.as_json:
        output.json(
            {
                "healthy": not problems,
                "problems": problems,
                "connections": len(connections),
                "users": _users(connections),
                "status": status,
                "totals": totals,
                "inspect": status is not None,
            }
        )
        return NO if problems else YES
    for line in _lines(live, connections, totals):
        output.line(escape(line))
    for problem in problems:
        output.line(output.paint(escape(problem), "red"))
    output.line(output.paint("not healthy", "red") if problems else output.paint("healthy", "green"))
    return NO if problems else YES


def _users(connections: list[Connection]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for one in connections:
        name = "-" if one.uid is None else user_name(one.uid)
        counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items(), key=lambda item: -item[1]))


def _lines(live: Live, connections: list[Connection], totals: dict[str, Any] | None) -> list[str]:
    status = live.status
    users = ", ".join(f"{name} {count}" for name, count in list(_users(connections).items())[:5])
    found = []
    if status is None:
        found.append(f"{live.why_not}: connections and names only")
    else:
        found.append(f"omnibusd {status['Version']}, pid {status['ProcessID']}, {status['Type'] or 'a'} bus")
        found.append(f"policy: {len(status['Files'])} files, loaded {clock(status['LoadedAt'])}")
        found.append(f"messages go {status['Way']}")
    found.append(f"{len(connections)} connections ({users})")
    if totals is not None:
        known = [
            (f"{label} {totals[key]}")
            for key, label in (
                ("omnibus.MessagesReceived", "messages in"),
                ("omnibus.MessagesSent", "out"),
                ("omnibus.MessagesDenied", "denied"),
                ("omnibus.MessagesRefused", "refused"),
                ("omnibus.PendingReplies", "calls waiting"),
                ("omnibus.MessagesParked", "waiting for a start"),
                ("MatchRules", "match rules"),
                ("IncompleteConnections", "incomplete connections"),
            )
            if key in totals
        ]
        found += ["; ".join(known)] if known else []
    return found


def find_problems(live: Live, connections: list[Connection]) -> list[str]:
    """Return what is wrong, each with what to look at."""
    found = [
        f"stalled: {one.text} does not read, {size(one.queued_bytes)} wait"
        for one in connections
        if one.stalled
    ]
    status = live.status
    if status is None:
        return found
    for file, line, reason in status["Warnings"]:
        found.append(f"configuration: {file}{f':{line}' if line else ''}: {reason} (omnibusctl check)")
    found += _limits(status["Limits"], connections)
    now = time.time() * 1e6
    for row in live.inspect("ListStarts"):
        if row["State"] == "failed" and now - row["Time"] < HOUR:
            found.append(f"start of {row['Name']} failed: {row['ErrorText']} (omnibusctl activation)")
    return found


def _limits(limits: dict[str, int], connections: list[Connection]) -> list[str]:
    found = []

    def nearly(what: str, value: int | None, limit: str) -> None:
        most = limits.get(limit, -1)
        if value is not None and most > 0 and value >= NEARLY * most:
            found.append(f"limit: {what} {value} of {limit} {most}")

    nearly("connections", len(connections), "max_completed_connections")
    for user, count in _users(connections).items():
        nearly(f"connections of {user}", count, "max_connections_per_user")
    for one in connections:
        nearly(f"calls of {one.text}", one.calls, "max_replies_per_connection")
        nearly(f"match rules of {one.text}", one.rules, "max_match_rules_per_connection")
        nearly(f"names of {one.text}", len(one.names), "max_names_per_connection")
    return found
