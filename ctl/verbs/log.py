"""What the bus has logged: denials, starts, connections that were cut off, reloads.

  omnibusctl log --since 1h
  omnibusctl log --since 10:00 --until 10:01
  omnibusctl log --kind denied,cutoff

The system bus is asked by its journal. Of any other omnibusd, and where there is no journal, the bus itself
tells its latest denials, failed starts and lost connections.
"""

from __future__ import annotations

import subprocess
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ...daemon import logging as ids
from ..exits import USAGE, YES, Stop
from ..live import Live
from ..output import clock, escape
from .capture import moment
from .pending import duration

if TYPE_CHECKING:
    from ..buses import Target

KINDS: Final = ("denied", "start", "cutoff", "reload", "other")
OF_ID: Final = {
    ids.DENIED: "denied",
    ids.ACTIVATING: "start",
    ids.ACTIVATED: "start",
    ids.ACTIVATION_FAILED: "start",
    ids.RELOADED: "reload",
    ids.RELOAD_FAILED: "reload",
}
CUT_OFF: Final = ("does not read", "was disconnected")
QUIET: Final = "closed"
"""The reason of a connection that has ended by itself."""


class Entry:
    """A line: realtime in microseconds, a kind, a text, and the rule's or the error's place, if any."""

    def __init__(self, realtime: int, kind: str, text: str, place: str | None = None) -> None:
        self.realtime = realtime
        self.kind = kind
        self.text = text
        self.place = place

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"realtime_us": self.realtime, "kind": self.kind, "text": self.text, "place": self.place}

    def line(self) -> str:
        """Return the text of it."""
        place = f" ({self.place})" if self.place and self.place not in self.text else ""
        return escape(f"{clock(self.realtime)} {self.kind:6} {self.text}{place}")


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--since", metavar="TIME", default="1h", help="how far back, as 10min or 24h, or 10:00"
    )
    parser.add_argument("--until", metavar="TIME", help="not after, as 10min or 10:01")
    parser.add_argument("--kind", metavar="KINDS", help=f"only these: {', '.join(KINDS)}")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with later lines")


def run(target: Target, options: Namespace) -> int:
    """Print the lines; return YES."""
    kinds = KINDS if options.kind is None else tuple(options.kind.split(","))
    if not set(kinds) <= set(KINDS):
        raise Stop(USAGE, f"kinds are {', '.join(KINDS)}")
    since = _moment(options.since)
    until = None if options.until is None else _moment(options.until)
    live = Live(target)
    if live.is_system and _has_journal():
        entries = _journal(since, options.follow)
    else:
        live.inspect("GetStatus")  # ends here if this bus can't tell
        entries = _told(live, since, options.follow)
    output = target.output
    for entry in entries:
        if entry.kind not in kinds or (until is not None and entry.realtime > until):
            continue
        if output.as_json:
            output.event(entry.plain())
        else:
            output.line(entry.line())
            output.flush()
    return YES


def _moment(text: str) -> int:
    """Return the microseconds of an age, or of a time of today or of a day; raises Stop."""
    return int(time.time() * 1e6) - duration(text) if text[-1:].isalpha() else moment(text)


def _has_journal() -> bool:
    command = ["journalctl", "-q", "-n", "1", "-o", "cat", "_SYSTEMD_UNIT=dbus.service", "+", _IDENTIFIER]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return False
    return bool(done.stdout)


_IDENTIFIER: Final = "SYSLOG_IDENTIFIER=omnibusd"


def _journal(since: int, follow: bool) -> Iterator[Entry]:
    from json import loads

    command = ["journalctl", "-q", "-o", "json", f"--since=@{since // 1_000_000}"]
    command += ["-f"] if follow else []
    command += [_IDENTIFIER, "+", "SYSLOG_IDENTIFIER=dbus-daemon", "+", "SYSLOG_IDENTIFIER=dbus-broker"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reading:
        assert reading.stdout is not None
        for line in reading.stdout:
            fields = loads(line)
            text = fields.get("MESSAGE")
            if isinstance(text, str):
                yield from_journal(fields, text)


def from_journal(fields: dict[str, Any], text: str) -> Entry:
    """Return an entry of the journal as one of ours."""
    kind = OF_ID.get(fields.get("MESSAGE_ID", ""), "other")
    if kind == "other" and any(phrase in text for phrase in CUT_OFF):
        kind = "cutoff"
    file, line = fields.get("CONFIG_FILE"), fields.get("CONFIG_LINE")
    place = None if file is None else f"{file}:{line}" if line else file
    return Entry(int(fields["__REALTIME_TIMESTAMP"]), kind, text, place)


def _told(live: Live, since: int, follow: bool) -> Iterator[Entry]:
    """Yield what the bus tells, each entry once."""
    while True:
        found = sorted(told_by_bus(live, since), key=lambda one: one.realtime)
        yield from found
        if not follow:
            return
        since = found[-1].realtime if found else since
        time.sleep(1.0)


def told_by_bus(live: Live, since: int) -> list[Entry]:
    """Return denials, failed starts and lost connections after a time."""
    found = [
        Entry(row["Time"], "denied", row["Text"], f"{row['File']}:{row['Line']}" if row["File"] else None)
        for row in live.inspect("Denials", "t", since)
    ]
    found += [
        Entry(row["Time"], "start", f"start of {row['Name']} failed: {row['ErrorText']}")
        for row in live.inspect("ListStarts")
        if row["State"] == "failed" and row["Time"] > since
    ]
    found += [
        Entry(row["Time"], "cutoff", f"{row['UniqueName']} ({row['Login']}): {row['Reason']}")
        for row in live.inspect("Gone", "t", since)
        if row["Reason"] != QUIET
    ]
    return found
