"""Messages as they pass, with processes, and of replies the member and the time since the call.

  omnibusctl monitor com.example.Echo                 all of and to it
  omnibusctl monitor --to com.example.Echo --member 'Get*' --no-body
  omnibusctl monitor --errors-only
  omnibusctl monitor --slower 100                     replies after 100 ms and more

omnibusd says when it has routed a message. The times of other buses are those at which this program reads it:
milliseconds too late on a busy machine. Root only, except on a bus of one's own.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Protocol

from ..exits import YES
from ..filter import Filter, add_arguments
from ..message import Seen
from ..output import escape, seconds
from ..watch import Watch

if TYPE_CHECKING:
    from ..buses import Target


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only messages of or to one of these")
    parser.add_argument("-t", "--time", type=float, metavar="SECONDS", help="end after this time")
    parser.add_argument("-n", "--number", type=int, metavar="N", help="end after so many messages")
    parser.add_argument("--no-body", action="store_true", help="leave out the arguments")
    add_arguments(parser)


def run(target: Target, options: Namespace) -> int:
    """Print messages; return YES."""
    watch = Watch(target, Filter.of(options, options.names))
    output = target.output
    left = options.number
    try:
        for seen in watch.messages(options.time):
            if seen is None:
                output.flush()
                continue
            if output.as_json:
                output.event(seen.plain(with_body=not options.no_body))
            else:
                output.line(line(watch, seen, with_body=not options.no_body))
                output.flush()
            if left is not None:
                left -= 1
                if left <= 0:
                    break
    finally:
        watch.close()
    return YES


class Namer(Protocol):
    """What knows the processes of connections."""

    def text(self, name: str | None, unique: str | None) -> str:
        """Return NAME command[pid]."""


def line(source: Namer, seen: Seen, *, with_body: bool) -> str:
    """Return a message in one line."""
    clock = time.strftime("%H:%M:%S", time.localtime(seen.realtime // 1_000_000))
    sender = source.text(seen.sender, seen.parties[0])
    receiver = source.text(seen.destination, seen.parties[1])
    what = seen.error or seen.full_member
    if seen.call is not None and seen.error is not None:
        what = f"{seen.error} of {seen.full_member}"
    place = f" {seen.path}" if seen.path is not None and seen.call is None else ""
    number = f"#{seen.message.serial}" if seen.reply_serial is None else f"for #{seen.reply_serial}"
    took = "" if seen.duration is None else f" after {seconds(seen.duration)}"
    head = f"{clock}.{seen.realtime % 1_000_000:06} {seen.type:6} {sender} → {receiver}"
    return escape(f"{head}{place} {what} {number}{took}") + (
        f"  ({seen.body_text()})" if with_body and seen.message.body else ""
    )
