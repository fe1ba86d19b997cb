"""The owners of well-known names, and the queues for them.

Specification: "Message Bus Names". This module does no input or output: every change is returned as
the name's new queue, which the caller sends to the data plane.

The data plane has a table of its own. Why the two never contradict each other is said at the head of
``transport/relay/state/registry.h``: a name is changed here while it is handed up (a call about it is being
answered), or when its owner is lost or becomes a monitor. The events NAMED and RELEASED report all other
changes in their order, so the table here is up to date for whatever an event is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum, IntFlag


class NameFlag(IntFlag):
    """The flags of RequestName; other bits are ignored, as in the reference."""

    ALLOW_REPLACEMENT = 1
    REPLACE_EXISTING = 2
    DO_NOT_QUEUE = 4


# Plain numbers: an operation on an IntFlag costs as much as the rest of a request.
_ALLOW_REPLACEMENT = NameFlag.ALLOW_REPLACEMENT.value
_REPLACE_EXISTING = NameFlag.REPLACE_EXISTING.value
_DO_NOT_QUEUE = NameFlag.DO_NOT_QUEUE.value


class RequestReply(IntEnum):
    """The answers of RequestName."""

    PRIMARY_OWNER = 1
    IN_QUEUE = 2
    EXISTS = 3
    ALREADY_OWNER = 4


class ReleaseReply(IntEnum):
    """The answers of ReleaseName."""

    RELEASED = 1
    NON_EXISTENT = 2
    NOT_OWNER = 3


class Claim:
    """The flags of a connection's latest request for a name."""

    __slots__ = ("allow_replacement", "do_not_queue")

    def __init__(self, allow_replacement: bool, do_not_queue: bool) -> None:
        self.allow_replacement = allow_replacement
        self.do_not_queue = do_not_queue

    @property
    def flags(self) -> int:
        """The flags as numbers."""
        return self.allow_replacement * _ALLOW_REPLACEMENT | self.do_not_queue * _DO_NOT_QUEUE


Queue = tuple[int, ...]
"""The ids of connections, the primary owner first; empty if the name is free."""


class NameRegistry:
    """All well-known names and their queues. Unique names are not included: they never change owners."""

    def __init__(self) -> None:
        # Each queue is an ordered dict by connection, since a connection may leave long queues.
        self._claims: dict[str, dict[int, Claim]] = {}
        # A dict for its order: names are released in the reverse order of their requests.
        self._names_of: dict[int, dict[str, None]] = {}

    @classmethod
    def restored(
        cls, queues: Mapping[str, Mapping[int, int]], requests: Mapping[int, Sequence[str]]
    ) -> NameRegistry:
        """Return the registry whose ``places`` and ``requests`` were these."""
        self = cls()
        self._claims = {
            name: {peer: _claim(flags) for peer, flags in places.items()} for name, places in queues.items()
        }
        self._names_of = {peer: dict.fromkeys(names) for peer, names in requests.items()}
        return self

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def owner(self, name: str) -> int | None:
        """Return the id of the connection that owns ``name``, or None."""
        claims = self._claims.get(name)
        return next(iter(claims)) if claims else None

    def queue(self, name: str) -> Queue:
        """Return the queue of ``name``."""
        return tuple(self._claims.get(name, ()))

    def places(self, name: str) -> list[tuple[int, int]]:
        """Return the queue of ``name``, each connection with the flags of its request that still count."""
        return [(peer, claim.flags) for peer, claim in self._claims.get(name, {}).items()]

    def requests(self) -> dict[int, list[str]]:
        """Return the names that each connection owns or waits for, in the order of its requests."""
        return {peer: list(names) for peer, names in self._names_of.items()}

    def request(self, name: str, peer: int, flags: int) -> tuple[RequestReply, Queue]:
        """Request ``name`` (specification: "RequestName"); return the answer and the new queue."""
        claims = self._claims.get(name)
        if claims is None:
            self._claims[name] = {peer: _claim(flags)}
            self._names_of.setdefault(peer, {})[name] = None
            return RequestReply.PRIMARY_OWNER, (peer,)
        reply = self._contend(name, claims, peer, flags)
        return reply, self.queue(name)

    def release(self, name: str, peer: int) -> tuple[ReleaseReply, Queue]:
        """Release ``name``, or the place in its queue (specification: "ReleaseName")."""
        if name not in self._claims:
            return ReleaseReply.NON_EXISTENT, ()
        if name not in self._names_of.get(peer, ()):
            return ReleaseReply.NOT_OWNER, self.queue(name)
        self._drop(name, peer)
        return ReleaseReply.RELEASED, self.queue(name)

    def disconnect(self, peer: int) -> list[str]:
        """Remove ``peer`` from all queues; return their names, in reverse order of the requests."""
        left = list(reversed(self._names_of.get(peer, {})))
        for name in left:
            self._drop(name, peer)
        return left

    def _contend(self, name: str, claims: dict[int, Claim], peer: int, flags: int) -> RequestReply:
        owner = next(iter(claims))
        if owner == peer:
            claims[peer] = _claim(flags)
            return RequestReply.ALREADY_OWNER
        if flags & _REPLACE_EXISTING and claims[owner].allow_replacement:
            self._enqueue(name, claims, peer, flags)
            if claims[owner].do_not_queue:
                self._drop(name, owner)
            else:
                _move(claims, peer, 0)
            return RequestReply.PRIMARY_OWNER
        if flags & _DO_NOT_QUEUE:
            self._drop(name, peer)
            return RequestReply.EXISTS
        self._enqueue(name, claims, peer, flags)
        return RequestReply.IN_QUEUE

    def _enqueue(self, name: str, claims: dict[int, Claim], peer: int, flags: int) -> None:
        """Put ``peer`` last, or behind the owner if it may replace it; a waiting peer keeps its place."""
        claims[peer] = _claim(flags)
        if flags & _REPLACE_EXISTING:
            _move(claims, peer, 1)
        self._names_of.setdefault(peer, {})[name] = None

    def _drop(self, name: str, peer: int) -> None:
        """Remove ``peer`` from the queue of ``name``, if it is in it."""
        names = self._names_of.get(peer)
        if names is None or name not in names:
            return
        del names[name]
        if not names:
            del self._names_of[peer]
        claims = self._claims[name]
        del claims[peer]
        if not claims:
            del self._claims[name]


def _move(claims: dict[int, Claim], peer: int, place: int) -> None:
    """Move a peer to another place in its queue."""
    claim = claims.pop(peer)
    queue = list(claims.items())
    queue.insert(place, (peer, claim))
    claims.clear()
    claims.update(queue)


def _claim(flags: int) -> Claim:
    return Claim(bool(flags & _ALLOW_REPLACEMENT), bool(flags & _DO_NOT_QUEUE))
