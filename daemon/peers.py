"""The connections that have authenticated, and how many there may be."""

from collections import Counter
from collections.abc import Iterator

from ..policy.question import Identity
from ..policy.settings import Limits
from . import errors
from .credentials import Credentials
from .errors import DBusError
from .signature import MAX_NAME


class Peer:
    """One connection.

    ``active``: it has said Hello. ``privileged``: root's, or the bus's own user's. ``monitor``: it only
    watches, and has given up its names, the unique one too.
    """

    __slots__ = (
        "active",
        "at_console",
        "credentials",
        "fd_passing",
        "id",
        "identity",
        "monitor",
        "privileged",
    )

    def __init__(
        self,
        id: int,
        credentials: Credentials,
        fd_passing: bool,
        privileged: bool,
        at_console: bool = False,
    ) -> None:
        self.id = id
        self.credentials = credentials
        self.fd_passing = fd_passing
        self.privileged = privileged
        self.at_console = at_console
        self.active = False
        self.monitor = False
        self.identity = Identity(credentials.uid, credentials.gids or (), at_console)
        """What the policy goes by."""

    @property
    def unique_name(self) -> str:
        """The unique name, which it gets when it becomes active."""
        return f":1.{self.id}" if self.active else "(inactive)"


class TooManyConnections(DBusError):
    """Hello is refused; ``limit`` and ``value`` say by which limit."""

    def __init__(self, text: str, limit: str, value: int) -> None:
        super().__init__(errors.LIMITS_EXCEEDED, text)
        self.limit = limit
        self.value = value


class Peers:
    """All connections by their ids, which are never used again."""

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
        """Find the active connection that has this unique name."""
        if len(name) > MAX_NAME:
            return None
        number = name.removeprefix(":1.")
        # int() takes more spellings of a number than the one that is in the name.
        peer = self._peers.get(int(number)) if number.isdigit() and number.isascii() else None
        if peer is None or not peer.active or peer.monitor:
            return None
        return peer if peer.unique_name == name else None

    def add(
        self,
        id: int,
        credentials: Credentials,
        *,
        fd_passing: bool,
        privileged: bool,
        at_console: bool = False,
    ) -> Peer:
        """Take in a connection under an id of the data plane's."""
        peer = self._peers[id] = Peer(id, credentials, fd_passing, privileged, at_console)
        return peer

    def check_limits(self, peer: Peer) -> None:
        """Raise TooManyConnections if ``peer`` may not become active; it may try again later."""
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
        """Note that Hello was answered."""
        peer.active = True
        self._active += 1
        if peer.credentials.uid is not None:
            self._of_user[peer.credentials.uid] += 1

    def remove(self, peer: Peer) -> None:
        """Forget a connection that is gone."""
        del self._peers[peer.id]
        uid = peer.credentials.uid
        if peer.active:
            self._active -= 1
            if uid is not None:
                self._of_user[uid] -= 1
                if not self._of_user[uid]:
                    del self._of_user[uid]
