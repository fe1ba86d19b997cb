"""Which match rules the clients of a bus have, as omnibusd tells those whose signals they can match.

A stand-in calls Watch of org.omnibus.Listeners1 before it requests a name. What it is told comes on its own
connection, so a client's rule is known when the client's next message arrives. That needs no privilege but
that the policy of the bus allows the call, and keeps no message from direct delivery.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from . import message
from .message import Frame
from .rules import Parsed, parse

if TYPE_CHECKING:
    from .peer import Peer
    from .standin import StandIn

INTERFACE: Final = "org.omnibus.Listeners1"
SIGNATURE: Final = b"a(ssu)"
EVERYTHING: Final[Parsed] = frozenset({("type", "signal")})


def changes(frame: Frame) -> Iterator[tuple[bytes, str, int]]:
    """Yield connection, rule and number of copies of a Changed; raises ValueError for another signature."""
    if message.text(frame.signature, frame.signature_size) != SIGNATURE:
        raise ValueError("not what Changed has")
    number = struct.Struct(">I" if frame.big_endian else "<I")
    body = message.body_of(frame)
    at = 8  # behind the length of the array, at the first structure
    while at < len(body):
        texts = []
        for _ in range(2):
            (size,) = number.unpack_from(body, at)
            texts.append(body[at + 4 : at + 4 + size])
            at = (at + 4 + size + 1 + 3) & ~3
        (copies,) = number.unpack_from(body, at)
        at = (at + 4 + 7) & ~7
        yield texts[0], texts[1].decode(), copies


def rule_of(text: str) -> Parsed:
    """Return a rule that the bus has written, which may be longer than one that another bus takes."""
    try:
        return parse(text)
    except ValueError:
        return EVERYTHING


class Heard:
    """The rules by which clients listen to one stand-in; the bus limits those of each client."""

    def __init__(self) -> None:
        self._rules: dict[bytes, set[Parsed]] = {}

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._rules)

    def of(self, client: bytes) -> Iterable[Parsed]:
        """Return the rules of a client, each once."""
        return self._rules.get(client, ())

    def put(self, client: bytes, rule: Parsed, copies: int) -> None:
        """Take how many copies of a rule a client has by now."""
        if copies:
            self._rules.setdefault(client, set()).add(rule)
        else:
            self._remove(client, {rule})

    def forget(self, client: bytes) -> None:
        """Drop the rules of a client that is gone."""
        self._rules.pop(client, None)

    def lose_name(self, name: str) -> None:
        """Drop the rules about a name that is another's now: their end is not told."""
        for client, found in list(self._rules.items()):
            self._remove(client, {one for one in found if ("sender", name) in one})

    def _remove(self, client: bytes, gone: set[Parsed]) -> None:
        left = self._rules.pop(client, set()) - gone
        if left:
            self._rules[client] = left

    def clear(self) -> None:
        """Drop everything."""
        self._rules.clear()


class Told:
    """The rules of the clients of a bus, of which each stand-in knows those that concern it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def clients(self) -> Iterable[bytes]:
        """Return all clients that have rules."""
        return {client for standin in self._peer.standins for client in standin.heard}

    def of(self, standin: StandIn, client: bytes) -> Iterable[Parsed]:
        """Return the rules of a client that are about a stand-in."""
        return standin.heard.of(client)
