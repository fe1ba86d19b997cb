"""Write messages into a file that Wireshark and busctl read, or read such a file.

  omnibusctl capture -w bus.pcapng -t 60                  a minute
  omnibusctl capture -w /var/log/bus.pcapng -C 64 -W 8    eight files of 64 MB, for as long as it runs
  omnibusctl capture read bus.pcapng --errors-only --since 10:00 --until 10:01
  omnibusctl capture read bus.pcapng --perfetto trace.json

omnibus-capture.service keeps eight files of 64 MB at /var/log/omnibus/bus.pcapng; a ring is read by that
name. A comment on the first message of each sender says which process it was. Messages may hold what others
must not see, so files are made with mode 0600. Root only, except on a bus of one's own.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import pcapng
from ..exits import NO, USAGE, YES, Stop
from ..filter import Filter, add_arguments
from ..message import Ledger, Seen
from ..output import escape, size
from ..rotation import Rotation, ring
from ..watch import Watch
from .monitor import line

if TYPE_CHECKING:
    from ..buses import Target


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("action", nargs="?", choices=("read",), help="read a file instead of writing one")
    parser.add_argument("file", nargs="?", help="the file to read")
    parser.add_argument("-w", "--write", metavar="FILE", help="the file to write")
    parser.add_argument(
        "-C", "--megabytes", type=float, default=0, metavar="MB", help="begin another file after"
    )
    parser.add_argument(
        "-G", "--seconds", type=float, default=0, metavar="S", help="begin another file after"
    )
    parser.add_argument("-W", "--files", type=int, default=0, metavar="N", help="keep the latest files only")
    parser.add_argument(
        "--snaplen", type=int, default=0, metavar="BYTES", help="keep the beginning of messages"
    )
    parser.add_argument("-t", "--time", type=float, metavar="SECONDS", help="end after this time")
    parser.add_argument("--since", metavar="TIME", help="of read: not before 10:00, or 2026-11-30 10:00:00")
    parser.add_argument("--until", metavar="TIME", help="of read: not after")
    parser.add_argument("--no-body", action="store_true", help="of read: leave out the arguments")
    parser.add_argument("--perfetto", metavar="FILE", help="of read: write a trace for Perfetto's viewer")
    add_arguments(parser)


def run(target: Target, options: Namespace) -> int:
    """Write or read; return YES."""
    if options.action == "read":
        return _read(target, options)
    if options.write is None:
        raise Stop(USAGE, "into which file? omnibusctl capture -w FILE, or capture read FILE")
    # A service manager's end is as good as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    writing = _Writing(not target.output.as_json, options)
    try:
        watch = Watch(target, Filter.of(options))
        try:
            writing.run(watch)
        finally:
            watch.close()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise Stop(NO, f"{options.write}: {error.strerror}") from error
    finally:
        writing.end()
    if target.output.as_json:
        target.output.json({"messages": writing.count, "bytes": writing.n_bytes})
    else:
        target.output.line(f"{writing.count} messages, {size(writing.n_bytes)}")
    return YES


class _Writing:
    """A capture under way; ``count`` messages of ``n_bytes`` were written."""

    def __init__(self, shows: bool, options: Namespace) -> None:
        self.count = 0
        self._options = options
        self.n_bytes = 0
        self._told: set[str] = set()
        self._rotation: Rotation | None = None
        self._shows = shows and sys.stderr.isatty()
        self._settled = 0.0

    def run(self, watch: Watch) -> None:
        """Write all messages."""
        options = self._options
        self._rotation = Rotation(
            options.write, int(options.megabytes * 1e6), options.seconds, options.files, options.snaplen
        )
        for seen in watch.messages(options.time):
            if seen is not None:
                self._write(watch, seen, self._rotation)
            self._settle()

    def _write(self, watch: Watch, seen: Seen, rotation: Rotation) -> None:
        if rotation.is_due:
            rotation.begin()
            self._told.clear()  # each file names its senders
        sender = seen.parties[0]
        comment = None if sender in self._told else _comment(watch, sender)
        self._told.add(sender)
        data = seen.data[: self._options.snaplen] if self._options.snaplen else seen.data
        rotation.write(pcapng.Packet(seen.realtime, data, len(seen.data), comment))
        self.count, self.n_bytes = self.count + 1, self.n_bytes + len(data)

    def _settle(self) -> None:
        """Write what is buffered and show how far it is, about once a second."""
        now = time.monotonic()
        if now - self._settled < 0.9:
            return
        self._settled = now
        if self._rotation is not None:
            self._rotation.flush()
        if self._shows:
            sys.stderr.write(f"\r{self.count} messages, {size(self.n_bytes)}  ")
            sys.stderr.flush()

    def end(self) -> None:
        """Complete the file."""
        if self._rotation is not None:
            self._rotation.close()
        if self._shows:
            sys.stderr.write("\r")


def _comment(watch: Watch, sender: str) -> str | None:
    found = watch.who(sender)
    if found is None:
        return None
    return escape(f"{sender} = {found.process} uid {found.uid} unit {found.unit or '-'}")


def _read(target: Target, options: Namespace) -> int:
    if options.file is None:
        raise Stop(USAGE, "which file? omnibusctl capture read FILE")
    output = target.output
    since = 0 if options.since is None else moment(options.since)
    until = None if options.until is None else moment(options.until)
    reading = Reading(options.file, Filter.of(options), since, until)
    if options.perfetto is not None:
        from ..perfetto import write

        count = write(options.perfetto, reading)
        output.line(f"{count} events written") if not output.as_json else output.json({"events": count})
        return YES
    for seen in reading:
        if output.as_json:
            output.event(seen.plain(with_body=not options.no_body))
        else:
            output.line(line(reading, seen, with_body=not options.no_body))
    return YES


class Reading:
    """The messages of a file, or of a ring of files, that a filter is about, in a time; raises Stop."""

    def __init__(self, path: str, wanted: Filter, since: int = 0, until: int | None = None) -> None:
        self._path = path
        self._filter = wanted
        self._since = since
        self._until = until
        self.ledger = Ledger()
        self._senders: dict[str, str] = {}
        self._units: dict[str, str] = {}

    def __iter__(self) -> Iterator[Seen]:
        for path in self._paths():
            try:
                with open(path, "rb") as stream:
                    for packet in pcapng.read(stream):
                        seen = self._see(packet)
                        if seen is not None:
                            yield seen
            except FileNotFoundError as error:
                if path == self._path:
                    raise Stop(NO, f"{path}: {error.strerror}") from error
                # The ring goes on meanwhile.
            except OSError as error:
                raise Stop(NO, f"{path}: {error.strerror}") from error
            except ValueError as error:
                raise Stop(NO, f"{path}: {error}") from error

    def _paths(self) -> list[str]:
        """Return the file, or the files of the ring of that name."""
        if os.path.lexists(self._path):
            return [self._path]
        try:
            return ring(self._path) or [self._path]
        except OSError:
            return [self._path]

    def _see(self, packet: pcapng.Packet) -> Seen | None:
        if packet.comment is not None and " = " in packet.comment:
            name, _, text = packet.comment.partition(" = ")
            self._senders[name] = text.partition(" uid ")[0]
            self._units[name] = text.rpartition(" unit ")[2]
        try:
            seen = self.ledger.see(packet.data, packet.realtime, packet.realtime)
        except ValueError:
            return None  # only its beginning was kept
        if packet.realtime < self._since or (self._until is not None and packet.realtime > self._until):
            return None
        return seen if self._filter.passes(seen, self.ledger) else None

    def text(self, name: str | None, unique: str | None) -> str:
        """Return NAME command[pid]."""
        if name is None:
            return "*"
        process = self._senders.get(unique or "")
        return name if process is None else f"{name} {process}"

    def ended(self, unique: str) -> str | None:
        """A capture does not tell which connections have ended."""
        return None

    def unit(self, unique: str) -> str | None:
        """Return the unit of a sender; None: it has none, or that is not known."""
        found = self._units.get(unique, "-")
        return None if found == "-" else found


def moment(text: str) -> int:
    """Return the microseconds of a time of today, or of a day; raises Stop."""
    today = time.strftime("%Y-%m-%d ")
    for form, full in (
        ("%Y-%m-%d %H:%M:%S", text),
        ("%Y-%m-%d %H:%M", text),
        ("%Y-%m-%d", text),
        ("%Y-%m-%d %H:%M:%S", today + text),
        ("%Y-%m-%d %H:%M", today + text),
    ):
        try:
            return int(time.mktime(time.strptime(full, form))) * 1_000_000
        except ValueError:
            continue
    raise Stop(USAGE, f"{text!r} is no time: give 10:00, 10:00:05 or 2026-11-30 10:00")
