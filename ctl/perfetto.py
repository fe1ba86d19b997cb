"""A capture as a trace for Perfetto's viewer (Chrome's JSON trace format): a row for each connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .message import Seen
    from .verbs.capture import Reading

PID = 1


def events(reading: Reading) -> Iterator[dict[str, Any]]:
    """Yield the events: slices from calls to replies, in the row of the callee, and instants for the rest."""
    rows: dict[str, int] = {}

    def row(unique: str) -> Iterator[dict[str, Any]]:
        if unique not in rows:
            rows[unique] = len(rows) + 1
            name = reading.text(unique, unique)
            yield {"ph": "M", "name": "thread_name", "pid": PID, "tid": rows[unique], "args": {"name": name}}

    yield {"ph": "M", "name": "process_name", "pid": PID, "args": {"name": "D-Bus"}}
    for seen in reading:
        yield from row(seen.parties[0])
        tid = rows[seen.parties[0]]
        if seen.call is not None and seen.duration is not None:
            yield {
                "ph": "X",
                "name": seen.full_member,
                "cat": "error" if seen.error else "call",
                "ts": seen.call.realtime,
                "dur": seen.duration,
                "pid": PID,
                "tid": tid,
                "args": _details(seen),
            }
        elif seen.type != "call":
            name = seen.error or seen.full_member
            yield {
                "ph": "i",
                "s": "t",
                "name": name,
                "cat": seen.type,
                "ts": seen.realtime,
                "pid": PID,
                "tid": tid,
                "args": _details(seen),
            }


def _details(seen: Seen) -> dict[str, Any]:
    caller = seen.call.sender if seen.call is not None else seen.sender
    found = {"caller": caller, "path": seen.path, "error": seen.error, "bytes": len(seen.data)}
    return {key: value for key, value in found.items() if value is not None}


def write(path: str, reading: Reading) -> int:
    """Write the trace, with mode 0600; return the number of events. Raises Stop."""
    from json import dumps

    from .exits import NO, Stop

    count = 0
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as stream:
            stream.write('{"displayTimeUnit":"ms","traceEvents":[')
            for event in events(reading):
                stream.write(("," if count else "") + "\n" + dumps(event))
                count += 1
            stream.write("\n]}\n")
    except OSError as error:
        raise Stop(NO, f"{path}: {error.strerror}") from error
    return count
