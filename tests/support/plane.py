"""A data plane that records its commands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from omnibus.daemon.logging import Field, Log
from omnibus.policy.settings import Limits
from omnibus.transport.relay import (
    Audience,
    Credentials,
    EventKind,
    Follower,
    LossReason,
    Module,
    Question,
    Texts,
)

BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
NO_CREDENTIALS = Credentials(None, None)


@dataclass
class FakeEvent:
    """An event; a call of a method of the bus by default."""

    kind: int = EventKind.CALL
    peer: int = 0
    parked: int = 0
    reply_serial: int = 0
    serial: int = 1
    type: int = 1
    flags: int = 0
    path: str | None = BUS_PATH
    interface: str | None = BUS
    member: str | None = None
    error_name: str | None = None
    destination: str | None = BUS
    signature: str = ""
    body: bytes = b""
    big_endian: bool = False
    current: bool = False
    denied: bool = False
    again: bool = False
    active: bool = True
    monitor: bool = False
    credentials: Credentials = NO_CREDENTIALS
    fd: int = -1
    fds: Sequence[int] = ()
    listener: int = 0
    began: float = 0.0
    reason: LossReason = LossReason.CLOSED

    @property
    def body_view(self) -> memoryview:
        return memoryview(self.body)


class FakePlane:
    """Returns given events, and records the commands of the last batch.

    ``shown``: what monitors see before it goes anywhere, messages of the bus and parked ones.
    ``awaited``: the names that are being started, about which all calls come up. ``starts``: how many wait.
    ``names`` and ``follower``: the catalogue. ``kept``: the replies that hold for all equal calls.
    """

    def __init__(self) -> None:
        self.waiting: list[FakeEvent] = []
        self.batch: list[tuple[Any, ...]] = []
        self.mediated = Module(0)
        self.texts: dict[Texts, dict[str, str]] = {}
        self.committed: list[tuple[Any, ...]] = []
        self.shown: list[str | int] = []
        self.awaited: set[str] = set()
        self.starts = 0
        self.kept: list[bytes] = []
        self.names = b""
        self.follower: Follower | None = None
        self._ids = count()
        self.silent = 0
        """Connections before Hello, and those handed up."""

    def events(self) -> Sequence[FakeEvent]:
        events, self.waiting = self.waiting, []
        return events

    def next_id(self) -> int:
        return next(self._ids)

    def incomplete(self) -> int:
        return self.silent

    def settled(self) -> None:
        self.silent -= 1

    def take(self) -> list[tuple[Any, ...]]:
        """Return the commands committed since the last call."""
        committed, self.committed = self.committed, []
        return committed

    def commit(self) -> None:
        self.committed += self.batch
        self.batch = []

    def set_limits(self, limits: Limits) -> None:
        self.batch.append(("set_limits", limits))

    def load_policy(self, block: bytes) -> None:
        self.batch.append(("load_policy", block))

    def welcome(self, peer: int, serial: int) -> None:
        self.batch.append(("welcome", peer, serial))

    def set_queue(self, name: str, peers: Sequence[int], flags: Sequence[int] = ()) -> None:
        self.batch.append(("set_queue", name, tuple(peers)))

    def leave_queue(self, name: str, peer: int) -> None:
        self.batch.append(("leave_queue", name, peer))

    def reply(self, peer: int, serial: int, signature: str, body: bytes, *, constant: bool = False) -> None:
        self.batch.append(("reply", peer, serial, signature, body))
        if constant:
            self.kept.append(body)

    def error(self, peer: int, serial: int, name: str, text: str) -> None:
        self.batch.append(("error", peer, serial, name, text))

    def signal(self, peer: int, path: str, interface: str, member: str, signature: str, body: bytes) -> None:
        self.batch.append(("signal", peer, path, interface, member, signature, body))

    def send(
        self,
        type: int,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: bytes,
        serial: int = 0,
        audience: int = Audience.ALL,
    ) -> None:
        if audience & Audience.MONITORS:
            self.shown.append(member)
        if audience & Audience.OWNER:
            self.batch.append(("send", type, destination, path, interface, member, signature, body, serial))

    def become_monitor(self, peer: int, serial: int, rules: Sequence[str], *, stamped: bool = False) -> None:
        self.batch.append(("become_tracer" if stamped else "become_monitor", peer, serial, tuple(rules)))

    def await_name(self, name: str, awaited: bool) -> None:
        self.awaited = self.awaited | {name} if awaited else self.awaited - {name}

    def count_starts(self, n: int) -> None:
        self.starts = n

    def set_catalog(self, names: bytes, follower: Follower | None) -> None:
        self.names, self.follower = names, follower

    def set_texts(self, kind: Texts, texts: dict[str, str]) -> None:
        self.texts[kind] = texts

    def explain(self, question: Question) -> None:
        self.batch.append(("explain", question))

    def export(self, kind: int, peers: Sequence[int] = ()) -> None:
        self.batch.append(("export", kind, tuple(peers)))

    def resume(self, peer: int) -> None:
        self.batch.append(("resume", peer))

    def show(self, parked: int) -> None:
        self.shown.append(parked)

    def deliver(self, parked: int) -> None:
        self.batch.append(("deliver", parked))

    def reject(self, parked: int, name: str, text: str) -> None:
        self.batch.append(("reject", parked, name, text))

    def disconnect(self, peer: int) -> None:
        self.batch.append(("disconnect", peer))

    def forget(self, peer: int) -> None:
        self.batch.append(("forget", peer))


class Lines(Log):
    """A log that keeps its lines, and the fields of each."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.fields: list[dict[str, Field]] = []

    def write(self, severity: int, text: str, fields: Mapping[str, Field] | None = None) -> None:
        self.lines.append(text)
        self.fields.append({name: value for name, value in (fields or {}).items() if value is not None})


def make_credentials(uid: int | None = 1000, pid: int | None = 42) -> Credentials:
    return Credentials(uid, pid, (uid,) if uid is not None else (), loginfo=f"uid={uid} pid={pid}")
