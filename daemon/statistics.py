"""The statistics of the data plane: requested by a call, answered when the data plane has exported them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..transport.relay import Event, Question, Relay, Table
from . import errors
from .driver.method import Call
from .errors import DBusError
from .guard import Failed, Guard, ignored


class Statistics:
    """Requests for tables, which the data plane exports in order.

    A request belongs to a call, whose sender is stopped until the reply. ``bus_replies`` and
    ``connection_replies`` count the replies of each kind. ``way`` describes the way of messages.
    """

    def __init__(self, relay: Relay, guard: Guard) -> None:
        self._relay = relay
        self._guard = guard
        self.way = ""
        self.bus_replies = 0
        self.connection_replies = 0
        self._asked: deque[tuple[Callable[[bytes], None], Failed]] = deque()

    def ask(self, call: Call, table: Table, done: Callable[[Any], None], peers: Sequence[int] = ()) -> None:
        """Request a table. ``done`` gets it, and requests another, replies, or raises DBusError.

        ``peers`` restricts CONNECTIONS and MATCHES; an empty sequence stands for all.
        """
        self._relay.export(int(table), peers)
        self._asked.append((lambda body: done(_read(body)), call.failed))

    def explain(self, call: Call, question: Question, done: Callable[[Any], None]) -> None:
        """Ask the modules that mediate the bus. ``done`` gets what they say: an element for each question."""
        self._relay.explain(question)
        self._asked.append((lambda body: done(_read(body)), call.failed))

    def ping(self, done: Callable[[], None]) -> None:
        """Call ``done`` after a round trip to the data plane, which shows that both loops run."""
        self._relay.export(int(Table.TOTALS))
        self._asked.append((lambda body: done(), ignored))

    def receive(self, event: Event) -> None:
        """Handle an exported table."""
        done, failed = self._asked[0]
        self._guard.run(lambda: done(event.body), failed)
        self._asked.popleft()

    def fail(self, error: Exception) -> None:
        """Fail the request whose table could not be handled."""
        _, failed = self._asked.popleft()
        failed(error)


def _read(body: bytes) -> Any:
    if not body:
        raise DBusError(errors.NO_MEMORY, "Not enough memory")
    # Not at the start: hardly any bus is asked.
    from json import loads

    return loads(body)
