"""A monitor: all messages that a filter is about, as they pass the bus."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ..daemon.client import BUS_NAME, NotConnected
from ..daemon.errors import DBusError
from .buses import stop_for
from .exits import NO_BUS, Stop
from .filter import Filter
from .live import INSPECT, Live, gone
from .message import Ledger, Seen

if TYPE_CHECKING:
    from .buses import Target
    from .connection import Connection

MONITORING: Final = "org.freedesktop.DBus.Monitoring"
MOST: Final = 10_000
"""Connections that are remembered: a capture goes on for months, and unique names come without end."""


class Watch:
    """Messages of a bus, and the connections that were there at the beginning.

    connections: by unique name; those that come later are asked for when they send first. traced: omnibusd
    says when it routed each message, so that times are its own; those of other buses are of this program.
    """

    def __init__(self, target: Target, wanted: Filter) -> None:
        self._target = target
        self._live = Live(target)
        self._filter = wanted
        self.connections: dict[str, Connection | None] = {}
        owners: dict[str, str] = {}
        for one in self._live.connections():
            self.connections[one.name] = one
            owners |= dict.fromkeys(one.names, one.name)
        self.ledger = Ledger(owners)
        self._client = target.connect()
        self.traced = self._live.status is not None
        self._stamp: int | None = None
        self._gone: dict[str, Any] = {}
        self._latest = int(time.time() * 1e6)
        rules = wanted.rules(owners)
        try:
            if self.traced:
                self._client.call(INSPECT, "Trace", "as", rules)
            else:
                self._client.call(MONITORING, "BecomeMonitor", "asu", rules, 0)
        except DBusError as error:
            self._client.socket.close()
            raise stop_for(error, f"{MONITORING}.BecomeMonitor") from error

    def messages(self, seconds: float | None = None) -> Iterator[Seen | None]:
        """Yield the messages that the filter is about, for as long; None for each second without any.

        Raises Stop when the bus ends the connection.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if end is not None and now >= end:
                return
            try:
                data = self._client.receive_bytes(min(now + 1.0, end or now + 1.0))
            except NotConnected as error:
                raise Stop(NO_BUS, f"the bus has ended the connection: {error}") from error
            if data is None:
                yield None
                continue
            seen = self._see(data)
            if seen is not None and self._filter.passes(seen, self.ledger):
                yield seen

    def listen(self, seconds: float) -> Iterator[Seen]:
        """Yield the messages of so many seconds, and show on a terminal how far it is."""
        shows = sys.stderr.isatty() and not self._target.output.as_json
        count, end, shown = 0, time.monotonic() + seconds, 0.0
        for seen in self.messages(seconds):
            count += seen is not None
            now = time.monotonic()
            if shows and now - shown >= 0.9:
                shown = now
                sys.stderr.write(f"\r{count} messages, {max(0.0, end - now):.0f} s left  ")
                sys.stderr.flush()
            if seen is not None:
                yield seen
        if shows:
            sys.stderr.write("\r\x1b[K")

    def _see(self, data: bytes) -> Seen | None:
        """Return a message; None for a stamp, and for what is of this program itself."""
        monotonic, stamp = time.monotonic_ns() // 1000, self._stamp
        self._stamp = None
        if stamp is not None:
            monotonic = stamp
        realtime = time.time_ns() // 1000 - (time.monotonic_ns() // 1000 - monotonic)
        try:
            seen = self.ledger.see(data, realtime, monotonic)
        except ValueError:
            return None  # the bus validates, so this is none of a client's
        if seen.sender == BUS_NAME and seen.interface == INSPECT and seen.member == "Stamp":
            (self._stamp,) = seen.body() or (None,)
            return None
        return None if seen.parties[0] == self._client.name else seen

    def who(self, unique: str | None) -> Connection | None:
        """Return the connection of a unique name; None if it is gone, or is the bus itself."""
        if unique is None or not unique.startswith(":"):
            return None
        if unique not in self.connections:
            if len(self.connections) >= MOST:
                del self.connections[next(iter(self.connections))]
            self.connections[unique] = self._live.find(unique) or self._ended(unique)
        return self.connections[unique]

    def _ended(self, unique: str) -> Connection | None:
        """Return a connection that has ended before it was asked for, as short-lived programs' do."""
        if self.traced:
            for row in self._live.inspect("Gone", "t", self._latest):
                self._latest = max(self._latest, row["Time"])
                self._gone[row["UniqueName"]] = row
            while len(self._gone) > MOST:
                del self._gone[next(iter(self._gone))]
        row = self._gone.get(unique)
        return None if row is None else gone(row)

    def text(self, name: str | None, unique: str | None) -> str:
        """Return NAME command[pid]."""
        if name is None:
            return "*"
        found = self.who(unique)
        return name if found is None else f"{name} {found.process}"

    def unit(self, unique: str) -> str | None:
        """Return the unit of a connection; None: it has none, or that is not known."""
        found = self.who(unique)
        return None if found is None else found.unit

    def ended(self, unique: str) -> str | None:
        """Return the command of a connection that has ended; None: it has not, or that is not known."""
        found = self.who(unique)
        return None if found is None or unique not in self._gone else found.command

    def close(self) -> None:
        """End the monitor."""
        self._client.socket.close()
