"""Calls without a reply: caller, callee, and how long it takes already (omnibusd only).

  omnibusctl pending                     those older than a second
  omnibusctl pending --min=0 NAME        all calls that NAME has made or owes a reply

What a call was about the bus does not keep; `omnibusctl monitor` shows later ones.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from ..connection import Connection
from ..exits import USAGE, YES, Stop
from ..live import Live
from ..output import seconds

if TYPE_CHECKING:
    from ..buses import Target

UNKNOWN_AGE = 2**64 - 1
UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000}


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="only calls of or to this name")
    parser.add_argument("--min", default="1s", metavar="AGE", help="the least age, as 500ms or 2s")


def duration(text: str) -> int:
    """Return microseconds of a number with a unit, by default seconds; raises Stop."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :] or "s"
    try:
        return int(float(number) * UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise Stop(USAGE, f"{text!r} is no time: give 500ms or 2s") from None


def calls_of(live: Live, least: int) -> list[dict[str, Any]]:
    """Return the calls of at least this age, the oldest first; an unknown age is None."""
    rows = live.inspect("ListPendingCalls", "t", least)
    return [
        {
            "caller": caller,
            "callee": callee,
            "serial": serial,
            "age_us": None if age == UNKNOWN_AGE else age,
        }
        for caller, callee, serial, age in rows
    ]


def run(target: Target, options: Namespace) -> int:
    """Print the calls; return YES."""
    live = Live(target)
    found = calls_of(live, duration(options.min))
    known = {one.name: one for one in live.connections()} if found else {}
    if options.name is not None:
        names = {one.name for one in known.values() if options.name in (one.name, *one.names)}
        found = [call for call in found if {call["caller"], call["callee"]} & (names or {options.name})]
    output = target.output
    if output.as_json:
        output.json(found)
        return YES

    def text(name: str) -> str:
        one: Connection | None = known.get(name)
        if one is None:
            return name
        return " ".join((name, *one.names[:1], one.process))

    output.table(
        (">AGE", "CALLER", "CALLEE", ">SERIAL"),
        (
            (seconds(call["age_us"]), text(call["caller"]), text(call["callee"]), call["serial"])
            for call in found
        ),
    )
    if output.legend and not found:
        output.line("no call has waited that long")
    return YES
