"""The authenticated connections, and their limits."""

import time
from collections import Counter
from collections.abc import Iterator

from ..policy.settings import Limits
from ..transport.relay import Credentials
from . import errors
from .errors import DBusError
from .signature import MAX_NAME


class Peer:
    """One connection.

    ``active``: Hello was answered. ``monitor``: a monitor, which has released its names, the unique one
    included. ``since``: when this program learned of it, in seconds of CLOCK_MONOTONIC. ``metadata``: what it
    says of itself, as marshalled a{sv}; empty: nothing.
    """

    __slots__ = ("active", "credentials", "id", "metadata", "monitor", "since")

    def __init__(self, id: int, credentials: Credentials) -> None:
        self.id = id
        self.credentials = credentials
        self.active = False
        self.monitor = False
        self.metadata = b""
        self.since = time.monotonic()

    @property
    def unique_name(self) -> str:
        """The unique name, assigned when it becomes active."""
        return f":1.{self.id}" if self.active else "(inactive)"


class TooManyConnections(DBusError):
    """Hello is refused because of the ``limit`` of this name and ``value``."""

    def __init__(self, text: str, limit: str, value: int) -> None:
        super().__init__(errors.LIMITS_EXCEEDED, text)
        self.limit = limit
        self.value = value


class Peers:
    """All connections by id; ids are never reused."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._peers: dict[int, Peer] = {}
        self._active = 0
        self._of_user: Counter[int] = Counter()

    def __getitem__(self, peer: int) -> Peer:
        return self._peers[peer]

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, peer: int) -> Peer | None:
        """Return the connection with this id, None if it is gone."""
        return self._peers.get(peer)

    def by_name(self, name: str) -> Peer | None:
        """Return the active connection with this unique name."""
        if len(name) > MAX_NAME:
            return None
        number = name.removeprefix(":1.")
        # int() accepts other spellings of the number, too.
        peer = self._peers.get(int(number)) if number.isdigit() and number.isascii() else None
        if peer is None or not peer.active or peer.monitor:
            return None
        return peer if peer.unique_name == name else None

    def add(self, id: int, credentials: Credentials) -> Peer:
        """Add a connection with an id of the data plane."""
        peer = self._peers[id] = Peer(id, credentials)
        return peer

    def check_limits(self, peer: Peer) -> None:
        """Raise TooManyConnections if ``peer`` would exceed a limit; it may call Hello again later."""
        limit = self.limits.max_completed_connections
        if self._active >= limit:
            text = "The maximum number of active connections has been reached"
            raise TooManyConnections(text, "max_completed_connections", limit)
        uid = peer.credentials.uid
        limit = self.limits.max_connections_per_user
        if uid is not None and self._of_user[uid] >= limit:
            text = f"The maximum number of active connections for UID {uid} has been reached"
            raise TooManyConnections(text, "max_connections_per_user", limit)

    def activate(self, peer: Peer) -> None:
        """Record that Hello was answered."""
        peer.active = True
        self._active += 1
        if peer.credentials.uid is not None:
            self._of_user[peer.credentials.uid] += 1

    def remove(self, peer: Peer) -> None:
        """Remove a connection that is gone."""
        del self._peers[peer.id]
        uid = peer.credentials.uid
        if peer.active:
            self._active -= 1
            if uid is not None:
                self._of_user[uid] -= 1
                if not self._of_user[uid]:
                    del self._of_user[uid]
