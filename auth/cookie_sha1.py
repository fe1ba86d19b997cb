"""DBUS_COOKIE_SHA1: proof of read access to the home of the bus's user (spec, "DBUS_COOKIE_SHA1")."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha1
from hmac import compare_digest
from typing import Protocol

from ..record import Record
from .mechanism import Accepted, Answer, Challenge, Refused

CHALLENGE_BYTES = 16


class Cookie(Record):
    """A line of a cookie file: ``created`` in seconds since 1970, ``secret`` in lower-case hex."""

    id: int
    created: int
    secret: str


class KeyringError(Exception):
    """No cookie is available; the text says why."""


class Keyring(Protocol):
    """A source of cookies."""

    @property
    def context(self) -> str:
        """The name of the set of cookies."""

    @property
    def uid(self) -> int:
        """The owner of the keyring."""

    def owned_by(self, identity: bytes) -> bool:
        """Return whether the identity, a uid or a login name, is the owner's."""

    def best_cookie(self) -> Cookie:
        """Return a cookie recent enough to authenticate with, created if necessary, or raise KeyringError."""


class CookieSha1:
    """One attempt: identity, challenge, response.

    Only the user that runs the bus can authenticate. Any other keyring would be in a home directory under
    another user's control, where symbolic links could make the bus read and write anywhere (CVE-2019-12749).
    """

    def __init__(self, keyring: Keyring, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._keyring = keyring
        self._random_bytes = random_bytes
        self._cookie: Cookie | None = None
        self._challenge = b""

    def respond(self, response: bytes) -> Answer:
        """Take the identity first and then the proof."""
        return self._identity(response) if self._cookie is None else self._proof(response, self._cookie)

    def _identity(self, identity: bytes) -> Answer:
        if not self._keyring.owned_by(identity):
            return Refused("the identity is not that of the bus")
        try:
            self._cookie = self._keyring.best_cookie()
        except KeyringError as error:
            return Refused(str(error))
        self._challenge = self._random_bytes(CHALLENGE_BYTES).hex().encode()
        return Challenge(f"{self._keyring.context} {self._cookie.id} ".encode() + self._challenge)

    def _proof(self, response: bytes, cookie: Cookie) -> Answer:
        challenge, _, digest = response.replace(b"\t", b" ").partition(b" ")
        digest = digest.lstrip(b" ")
        if not challenge or not digest:
            return Refused("the response is not a challenge and a digest")
        composite = b":".join((self._challenge, challenge, cookie.secret.encode()))
        expected = sha1(composite, usedforsecurity=False).hexdigest().encode()
        if not compare_digest(digest, expected):
            return Refused("the digest is wrong")
        return Accepted(self._keyring.uid)
