"""What the data plane counts: asked for by a call, and told when the data plane has written it down."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from ..transport.relay import Table
from . import errors
from .driver.method import Call
from .errors import DBusError
from .guard import Failed, Guard, ignored
from .plane import DataPlane, Event


class Statistics:
    """Questions to the data plane, which answers them in the order in which they were asked.

    A question belongs to a call, whose sender is stopped until there is a reply. ``bus_serials`` and
    ``connection_serials`` number the replies of each kind. ``way``: how messages go between clients, and why.
    """

    def __init__(self, relay: DataPlane, guard: Guard) -> None:
        self._relay = relay
        self._guard = guard
        self.way = ""
        self.bus_serials = count()
        self.connection_serials = count()
        self._asked: deque[tuple[Callable[[bytes], None], Failed]] = deque()

    def ask(self, call: Call, table: Table, told: Callable[[Any], None], peers: Sequence[int] = ()) -> None:
        """Ask for a table. ``told`` gets it, and asks for more, replies, or raises DBusError.

        Of CONNECTIONS and MATCHES only what concerns ``peers``, or everything if that is empty.
        """
        self._relay.export(int(table), peers)
        self._asked.append((lambda body: told(_read(body)), call.failed))

    def when_alive(self, told: Callable[[], None]) -> None:
        """Call ``told`` once the data plane has answered anything: it goes round, and so do we."""
        self._relay.export(int(Table.TOTALS))
        self._asked.append((lambda body: told(), ignored))

    def told(self, event: Event) -> None:
        """Take an answer."""
        told, failed = self._asked[0]
        self._guard.run(lambda: told(event.body), failed)
        self._asked.popleft()

    def lost(self, error: Exception) -> None:
        """Give up the question whose answer could not be taken."""
        _, failed = self._asked.popleft()
        failed(error)


def _read(body: bytes) -> Any:
    if not body:
        raise DBusError(errors.NO_MEMORY, "Not enough memory")
    return json.loads(body)
