"""The specification's "DBUS_COOKIE_SHA1": the exchange, with a keyring in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1

import pytest

from omnibus.auth.cookie_sha1 import Cookie, CookieSha1, KeyringError
from omnibus.auth.mechanism import Accepted, Challenge, Refused

COOKIE = Cookie(1174525726, 1795303395, "40b774fb0966d29a356d00486f89a9a29bcb6c5a7ba639c3")
SERVER_CHALLENGE = bytes(range(16)).hex()
CLIENT_CHALLENGE = "c0ffee"


@dataclass
class Keyring:
    context: str = "org_freedesktop_general"
    uid: int = 1000
    cookie: Cookie | None = COOKIE
    asked: list[bytes] = field(default_factory=list)

    def owned_by(self, identity: bytes) -> bool:
        self.asked.append(identity)
        return identity in (b"1000", b"me")

    def best_cookie(self) -> Cookie:
        if self.cookie is None:
            raise KeyringError("no cookie today")
        return self.cookie


@pytest.fixture
def mechanism() -> CookieSha1:
    return CookieSha1(Keyring(), lambda count: bytes(range(count)))


def digest(client_challenge: str = CLIENT_CHALLENGE, secret: str = COOKIE.secret) -> str:
    """The server's decoded challenge, a ":", the client's challenge, another ":", and the cookie."""
    return sha1(f"{SERVER_CHALLENGE}:{client_challenge}:{secret}".encode()).hexdigest()


class TestIdentity:
    @pytest.mark.parametrize("identity", [b"1000", b"me"])
    def test_challenge(self, mechanism, identity):
        """The server sends the context; the ID of the cookie; then a random challenge string."""
        answer = mechanism.respond(identity)
        assert answer == Challenge(f"org_freedesktop_general 1174525726 {SERVER_CHALLENGE}".encode())

    @pytest.mark.parametrize("identity", [b"", b"0", b"root", b"1000 ", b"\xff"])
    def test_another_user(self, identity):
        """CVE-2019-12749: for a user other than the bus's own no home directory is searched."""
        keyring = Keyring(cookie=None)
        assert CookieSha1(keyring).respond(identity) == Refused("the identity is not that of the bus")
        assert keyring.asked == [identity]

    def test_no_cookie(self):
        """An unusable keyring is a rejection, not an error."""
        assert CookieSha1(Keyring(cookie=None)).respond(b"1000") == Refused("no cookie today")

    def test_challenges_differ(self):
        """The challenge is random."""
        answers = {CookieSha1(Keyring()).respond(b"1000").data for _ in range(10)}
        assert len(answers) == 10


class TestProof:
    @pytest.fixture
    def challenged(self, mechanism):
        mechanism.respond(b"1000")
        return mechanism

    def test_correct_proof(self, challenged):
        """If the two hashes match, the client is authenticated."""
        assert challenged.respond(f"{CLIENT_CHALLENGE} {digest()}".encode()) == Accepted(1000)

    @pytest.mark.parametrize("blank", ["  ", "\t", " \t "])
    def test_blanks(self, challenged, blank):
        assert challenged.respond(f"{CLIENT_CHALLENGE}{blank}{digest()}".encode()) == Accepted(1000)

    @pytest.mark.parametrize(
        "proof",
        [
            digest("other"),
            digest(secret="00"),
            digest().upper(),
            digest()[:-1],
            digest() + "0",
            digest() + " ",
        ],
    )
    def test_wrong_proof(self, challenged, proof):
        """The digits A to F must not be used."""
        answer = challenged.respond(f"{CLIENT_CHALLENGE} {proof}".encode())
        assert answer == Refused("the digest is wrong")

    @pytest.mark.parametrize(
        "response", [b"", b"c0ffee", b"c0ffee ", b" " + digest().encode(), b" ", b"\xff"]
    )
    def test_malformed(self, challenged, response):
        assert challenged.respond(response) == Refused("the response is not a challenge and a digest")

    def test_not_ascii(self, challenged):
        assert isinstance(challenged.respond(b"c0ffee \xff\0"), Refused)


def test_conversation(converse):
    """The whole exchange, in the lines of the protocol."""
    client = converse(None, mechanisms={"DBUS_COOKIE_SHA1": lambda uid: CookieSha1(Keyring())})
    command, data = client.say(f"AUTH DBUS_COOKIE_SHA1 {b'1000'.hex()}").split()
    context, number, challenge = bytes.fromhex(data).decode().split()
    assert (command, context, number) == ("DATA", "org_freedesktop_general", str(COOKIE.id))
    proof = sha1(f"{challenge}:{CLIENT_CHALLENGE}:{COOKIE.secret}".encode()).hexdigest()
    assert client.say(f"DATA {f'{CLIENT_CHALLENGE} {proof}'.encode().hex()}").startswith("OK ")
    client.say("BEGIN")
    assert client.authenticated.uid == 1000
