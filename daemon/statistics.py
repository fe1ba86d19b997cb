"""What the data plane counts: asked for by a call, and told when the data plane has written it down."""

from __future__ import annotations

import json
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum
from itertools import count
from typing import Any

from . import errors
from .codec import make_body
from .driver.method import Call
from .errors import DBusError
from .logging import Log
from .plane import DataPlane, Event


class Table(IntEnum):
    """The tables of the data plane; the numbers are those of relay.h."""

    CONNECTIONS = 1
    MATCHES = 3
    TOTALS = 6


class Statistics:
    """Questions to the data plane, which answers them in the order in which they were asked.

    A question belongs to a call, whose sender is stopped until there is a reply. ``bus_serials`` and
    ``connection_serials`` number the replies of each kind. ``way``: how messages go between clients, and why.
    """

    def __init__(self, relay: DataPlane, log: Log) -> None:
        self._relay = relay
        self._log = log
        self.way = ""
        self.bus_serials = count()
        self.connection_serials = count()
        self._asked: deque[tuple[Call | None, Callable[[Any], None]]] = deque()

    def ask(self, call: Call, table: Table, told: Callable[[Any], None], peers: Sequence[int] = ()) -> None:
        """Ask for a table. ``told`` gets it, and asks for more, replies, or raises DBusError.

        Of CONNECTIONS and MATCHES only what concerns ``peers``, or everything if that is empty.
        """
        self._relay.export(int(table), peers)
        self._asked.append((call, told))

    def when_alive(self, told: Callable[[], None]) -> None:
        """Call ``told`` once the data plane has answered anything: it goes round, and so do we."""
        self._relay.export(int(Table.TOTALS))
        self._relay.commit()
        self._asked.append((None, lambda totals: told()))

    def told(self, event: Event) -> None:
        """Take an answer."""
        call, told = self._asked.popleft()
        if call is None:
            told(None)
            return
        try:
            if not event.body:
                raise DBusError(errors.NO_MEMORY, "Not enough memory")
            told(json.loads(event.body))
        except DBusError as error:
            self._fail(call, error)
        except Exception:
            self._log.warning(traceback.format_exc())
            self._fail(call, DBusError(errors.FAILED, "The message bus failed to answer"))

    def reply(self, call: Call, signature: str, *values: Any) -> None:
        """Answer a call."""
        self.reply_body(call, signature, make_body(signature, values))

    def reply_body(self, call: Call, signature: str, body: bytes) -> None:
        """Answer a call with what is marshalled already."""
        self._relay.reply(call.peer.id, call.serial, signature, body)
        self._relay.resume(call.peer.id)

    def _fail(self, call: Call, error: DBusError) -> None:
        self._relay.error(call.peer.id, call.serial, error.name, error.text)
        self._relay.resume(call.peer.id)
