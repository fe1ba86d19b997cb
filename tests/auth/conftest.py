"""A conversation with the state machine, in the lines of the specification."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest

from omnibus.auth.mechanism import Accepted, Answer, Challenge, Mechanisms, Refused
from omnibus.auth.mechanisms import choose
from omnibus.auth.server import Authenticated, Rejected, Server

GUID = "0123456789abcdef0123456789abcdef"


class Conversation:
    """The client's part. The nul byte is sent at once, unless ``nul`` is false."""

    def __init__(
        self,
        uid: int | None = 1000,
        *,
        mechanisms: Mechanisms | None = None,
        allowed: Collection[str] = (),
        nul: bool = True,
        **options: Any,
    ) -> None:
        offered = choose(allowed, {}) if mechanisms is None else mechanisms
        self.server = Server(GUID, offered, uid, **options)
        if nul:
            self.send(b"\0")

    def send(self, data: bytes) -> bytes:
        self.server.receive_data(data)
        return self.server.data_to_send()

    def say(self, line: str) -> str:
        """Send one line and return the replies without their CR LF."""
        reply = self.send(line.encode() + b"\r\n").decode()
        assert reply == "" or reply.endswith("\r\n")
        return reply.removesuffix("\r\n")

    @property
    def goes_on(self) -> bool:
        return self.server.outcome is None

    @property
    def authenticated(self) -> Authenticated:
        assert isinstance(self.server.outcome, Authenticated), self.server.outcome
        return self.server.outcome

    @property
    def rejected(self) -> Rejected:
        assert isinstance(self.server.outcome, Rejected), self.server.outcome
        return self.server.outcome


class Skey:
    """The mechanism of the specification's examples: one user, one challenge and one correct response."""

    RESPONSE = bytes.fromhex("7ab83f32ee")
    CHALLENGE = bytes.fromhex("8799cabb2ea93e")
    PROOF = bytes.fromhex("8ac876e8f68ee9809bfa876e6f9876")

    def __init__(self, uid: int | None) -> None:
        self.challenged = False

    def respond(self, response: bytes) -> Answer:
        if not self.challenged:
            self.challenged = True
            return Challenge(self.CHALLENGE) if response == self.RESPONSE else Refused("unknown user")
        return Accepted(1000) if response == self.PROOF else Refused("wrong password")


@pytest.fixture
def converse() -> Callable[..., Conversation]:
    """Begin a conversation."""
    return Conversation


@pytest.fixture
def skey(converse: Callable[..., Conversation]) -> Conversation:
    """A server that understands KERBEROS_V4 and SKEY, as in the specification's examples."""
    return converse(mechanisms={"KERBEROS_V4": Skey, "SKEY": Skey})
