"""What a SASL mechanism is to the server: an object that is asked again and again until it has decided.

The answers are those of the specification's "Server states": CONTINUE(CHALL), OK and REJECTED.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ..record import Record


class Challenge(Record):
    """CONTINUE: ``data`` goes to the client, unencoded; its response comes back to the mechanism."""

    data: bytes = b""


class Accepted(Record):
    """OK: the client is ``uid``, or anonymous if that is None."""

    uid: int | None


class Refused(Record):
    """REJECTED, for a ``reason`` that is for the log and never sent."""

    reason: str


Answer = Challenge | Accepted | Refused


class Mechanism(Protocol):
    """One attempt to authenticate by one mechanism."""

    def respond(self, response: bytes) -> Answer:
        """Take the client's next response, decoded; the initial one is empty if the client sent none."""


NewMechanism = Callable[[int | None], Mechanism]
"""Begins an attempt; the argument is the uid that the kernel says the peer has, None if it says nothing."""

Mechanisms = Mapping[str, NewMechanism]
"""What a server offers, in the order in which a client is told of it."""


def parse_uid(identity: bytes) -> int | None:
    """Read an authorization identity that is a uid in ASCII decimal; None if it is none, or absurdly long."""
    return int(identity) if identity.isdigit() and len(identity) <= 10 else None
