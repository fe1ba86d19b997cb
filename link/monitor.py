"""Which match rules the clients of a bus have, learned by watching one that does not tell (listeners.py).

A monitor sees AddMatch and RemoveMatch as the bus handles them. It needs the privilege of BecomeMonitor,
which system buses give to root.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from . import message
from .client import Client, bus_error
from .message import Frame
from .rules import ALL_ENDS, Parsed, parse

if TYPE_CHECKING:
    from .standin import StandIn

STATS: Final = "org.freedesktop.DBus.Debug.Stats"
SNAPSHOT: Final = "GetAllMatchRules"
WATCHED: Final = (
    "type='method_call',destination='org.freedesktop.DBus',member='AddMatch'",
    "type='method_call',destination='org.freedesktop.DBus',member='RemoveMatch'",
    f"type='method_call',destination='org.freedesktop.DBus',member='{SNAPSHOT}'",
    ALL_ENDS,
)
MAX_MESSAGE: Final = 1 << 16
MAX_QUEUED: Final = 1 << 16


class Monitor:
    """The rules of all clients but the link's own.

    ``changed`` takes a client whose rules have changed; ``began`` and ``ended`` tell whether there is a
    monitor.
    """

    def __init__(
        self,
        path: bytes,
        is_ours: Callable[[bytes], bool],
        changed: Callable[[bytes], None],
        ended: Callable[[str], None],
        began: Callable[[], None],
    ) -> None:
        """Connect to the socket of a bus, as this process's user; raises OSError."""
        self._is_ours = is_ours
        self._changed = changed
        self._ended = ended
        self._began = began
        self._rules: dict[bytes, Counter[Parsed]] = {}
        self._client = Client(path, None, self, max_message=MAX_MESSAGE, max_queued=MAX_QUEUED)
        self._client.become_monitor(WATCHED, self._answered)

    def _answered(self, reply: Frame) -> None:
        if reply.type == message.ERROR:
            why = bus_error(reply)
            self.close()
            self._ended(why)
        else:
            self._began()

    def clients(self) -> Iterable[bytes]:
        """Return all clients that have rules."""
        return list(self._rules)

    def of(self, _: StandIn, client: bytes) -> list[Parsed]:
        """Return the rules of a client, each once."""
        return [rule for rule, count in self._rules.get(client, Counter()).items() if count > 0]

    def add_snapshot(self, found: Mapping[str, list[str]]) -> None:
        """Take the answer of GetAllMatchRules: the rules as of when the monitor saw that call."""
        for name, texts in found.items():
            client = name.encode()
            if not self._is_ours(client):
                for text in texts:
                    self._count(client, text, 1)
                self._changed(client)

    def catch_up(self) -> None:
        """Handle all that has been received by now."""
        self._client.catch_up()

    def close(self) -> None:
        """End it."""
        self._client.close()

    def _count(self, client: bytes, text: str, step: int) -> None:
        try:
            rule = parse(text)
        except ValueError:
            return  # the bus refuses it, too
        counts = self._rules.setdefault(client, Counter())
        counts[rule] += step
        if not counts[rule]:
            del counts[rule]

    # The methods of client.Receiver.

    def named(self, name: bytes) -> None:
        """A monitor has no name."""

    def lost(self, why: str) -> None:
        """Hear of the end of the connection."""
        self._ended(why)

    def too_long(self, frame: Frame) -> None:
        """Leave out a rule that is longer than any bus accepts."""

    def receive(self, frame: Frame) -> None:
        """Handle what the monitor has seen."""
        member = message.text(frame.member, frame.member_size)
        if frame.type == message.SIGNAL:
            if member == b"NameOwnerChanged":
                self._rules.pop(message.body_strings(frame)[0].encode(), None)
            return
        client = message.text(frame.sender, frame.sender_size)
        if frame.type != message.CALL or (self._is_ours(client) and member != SNAPSHOT.encode()):
            return
        if member == SNAPSHOT.encode():
            if self._is_ours(client):
                self._rules.clear()
        elif message.text(frame.signature, frame.signature_size) == b"s":
            self._count(client, message.body_strings(frame)[0], 1 if member == b"AddMatch" else -1)
            self._changed(client)
