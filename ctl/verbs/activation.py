"""Services that are being started, and starts that have failed (omnibusd only).

omnibusctl activation
omnibusctl activation --failed         only failures; the exit status is 1 if there are some
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from ..exits import NO, YES
from ..live import Live
from ..output import clock, escape, seconds
from ..process import command_of

if TYPE_CHECKING:
    from ..buses import Target


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--failed", action="store_true", help="only those that have failed")


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a start for JSON."""
    return {
        "state": row["State"],
        "name": row["Name"],
        "exec": row["Exec"] or None,
        "unit": row["Unit"] or None,
        "pid": row.get("ProcessID"),
        "age_us": row.get("Age"),
        "timeout_us": row.get("Timeout"),
        "waiting": row.get("Waiting", []),
        "realtime_us": row.get("Time"),
        "requested_by": row.get("RequestedBy") or None,
        "requested_by_command": command_of(row.get("Login", "")),
        "error": row.get("ErrorName"),
        "text": row.get("ErrorText"),
    }


def run(target: Target, options: Namespace) -> int:
    """Print the starts; return NO for failures that were asked for."""
    rows = Live(target).inspect("ListStarts")
    found = [plain(row) for row in rows if not options.failed or row["State"] == "failed"]
    output = target.output
    if output.as_json:
        output.json(found)
    else:
        for one in found:
            for line in _starting(one) if one["state"] == "starting" else _failed(one):
                output.line(escape(line))
        if output.legend and not found:
            output.line("no start is in progress" if not options.failed else "no start has failed")
    return NO if options.failed and found else YES


def _how(one: dict[str, Any]) -> str:
    return f"unit {one['unit']}" if one["unit"] else f"exec {one['exec'] or '?'}"


def _starting(one: dict[str, Any]) -> list[str]:
    process = f", pid {one['pid']}" if one["pid"] else ""
    waiting = ", ".join(name or "the bus" for name in one["waiting"]) or "nothing"
    return [
        f"STARTING {one['name']}  {_how(one)}{process}",
        f"         {seconds(one['age_us'])} of {seconds(one['timeout_us'])}; waiting: {waiting}",
    ]


def _failed(one: dict[str, Any]) -> list[str]:
    who = " ".join(part for part in (one["requested_by"], one["requested_by_command"]) if part)
    unit = one["unit"]
    log = f"journalctl -b -u {unit}" if unit else "its output is in the log of the bus"
    return [
        f"FAILED   {one['name']}  {clock(one['realtime_us'])}  {_how(one)}  asked by {who or 'the bus'}",
        f"         {one['text']}",
        f"         → {log}",
    ]
