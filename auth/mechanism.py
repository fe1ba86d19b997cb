"""The interface of a SASL mechanism: an object that takes responses until it has decided.

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
    """REJECTED; ``reason`` is for the log and never sent."""

    reason: str


Answer = Challenge | Accepted | Refused


class Mechanism(Protocol):
    """One authentication attempt by one mechanism."""

    def respond(self, response: bytes) -> Answer:
        """Take the client's next response, decoded; the initial one is empty if the client sent none."""


NewMechanism = Callable[[int | None], Mechanism]
"""Begins an attempt; the argument is the peer's uid according to the kernel, None if unknown."""

Mechanisms = Mapping[str, NewMechanism]
"""The mechanisms a server offers, in the order in which it lists them to clients."""


def parse_uid(identity: bytes) -> int | None:
    """Parse an authorization identity: a uid in ASCII decimal; None if it is not one, or too long."""
    return int(identity) if identity.isdigit() and len(identity) <= 10 else None
