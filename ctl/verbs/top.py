"""Which connections keep the bus busy, and which don't read.

  omnibusctl top            a screen: i o I O q c r n sort, b sums up, / filters, Enter: one, p pauses, x ends
  omnibusctl top --once     two looks, one table; --by=unit sums up by unit
  omnibusctl top -n 5       five tables

It asks the bus for its counters and monitors nothing, so messages take the way that they take without it.
dbus-broker counts no messages: its columns show queues only.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from ..connection import GROUPS
from ..exits import YES
from ..live import Live
from ..rates import Look, Row, grouped, rate, rows

if TYPE_CHECKING:
    from ..buses import Target

SORTS = {
    "in": lambda row: row.messages_in,
    "out": lambda row: row.messages_out,
    "bytes-in": lambda row: row.bytes_in,
    "bytes-out": lambda row: row.bytes_out,
    "queued": lambda row: row.connection.queued_bytes,
    "calls": lambda row: row.connection.calls,
    "rules": lambda row: row.connection.rules,
    "name": None,
}
COLUMNS = (
    *(
        "NAME",
        ">PID",
        "PROCESS",
        "UNIT",
        ">IN/s",
        ">OUT/s",
        ">IN KB/s",
        ">OUT KB/s",
        ">QUEUED",
        ">CALLS",
        ">RULES",
    ),
    "STATE",
)


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-d", "--delay", type=float, default=2.0, metavar="SECONDS", help="between two looks")
    parser.add_argument("-n", "--number", type=int, metavar="N", help="tables to print instead of a screen")
    parser.add_argument("--once", action="store_true", help="print one table")
    parser.add_argument("--sort", choices=SORTS, default="in", help="what the order is by")
    parser.add_argument("--by", choices=GROUPS, default="name", help="one line for each of these")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only lines with this text")


def run(target: Target, options: Namespace) -> int:
    """Show a screen, or print tables; return YES."""
    live = Live(target)
    number = 1 if options.once else options.number
    if number is None and not options.json and sys.stdout.isatty():
        from ..screen import Screen

        Screen(target, live, options.delay, options.sort, options.filter, options.by).run()
        return YES
    before = Look.now(live)
    for _ in range(number or 1):
        time.sleep(max(0.05, options.delay))
        after = Look.now(live)
        _print(target, live, before, after, options)
        before = after
    return YES


def order(found: list[Row], sort: str, text: str, by: str = "name") -> list[Row]:
    """Return the rows with this text, summed up and sorted."""
    key = SORTS[sort]
    shown = [row for row in found if text in row.connection.text or text in row.connection.name]
    if by != "name":
        shown = grouped(shown, by)
    if key is None:
        return sorted(shown, key=lambda row: row.connection.best_name)
    return sorted(shown, key=lambda row: -(key(row) or 0))


def headline(live: Live, before: Look, after: Look) -> str:
    """Return a line about the whole bus."""

    def number(key: str) -> str:
        value = rate(before, after, key)
        return "-" if value is None else f"{value:.0f}"

    status = live.status or {}
    kind = f"omnibusd {status['Version']}" if status else "bus"
    waiting = after.totals.get("omnibus.PendingReplies", "-")
    return (
        f"{kind}  {len(after.connections)} connections"
        f"  in {number('omnibus.MessagesReceived')}/s out {number('omnibus.MessagesSent')}/s"
        f"  denied {number('omnibus.MessagesDenied')}/s refused {number('omnibus.MessagesRefused')}/s"
        f"  waiting calls {waiting} monitors {after.totals.get('omnibus.Monitors', '-')}"
    )


def cells(row: Row) -> tuple[Any, ...]:
    """Return the columns of a row."""
    one = row.connection

    def number(value: float | None, unit: float, digits: int) -> str | None:
        return None if value is None else f"{value / unit:.{digits}f}"

    return (
        one.best_name,
        one.pid,
        one.command,
        one.unit,
        number(row.messages_in, 1, 0),
        number(row.messages_out, 1, 0),
        number(row.bytes_in, 1e3, 1),
        number(row.bytes_out, 1e3, 1),
        None if one.queued_bytes is None else f"{one.queued_bytes / 1e6:.1f}MB",
        one.calls,
        one.rules,
        one.state,
    )


def _print(target: Target, live: Live, before: Look, after: Look, options: Namespace) -> None:
    shown = order(rows(before, after), options.sort, options.filter, options.by)
    output = target.output
    if output.as_json:
        output.event(
            {
                "monotonic_us": int(after.when * 1e6),
                "totals": after.totals,
                "connections": [
                    {
                        **row.connection.plain(),
                        **{
                            f"{field}_per_s": value
                            for field, value in vars(row).items()
                            if field != "connection"
                        },
                    }
                    for row in shown
                ],
            }
        )
        return
    if output.legend:
        output.line(headline(live, before, after))
    output.table(COLUMNS, map(cells, shown))
    output.flush()
