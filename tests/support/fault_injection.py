"""A control plane in which one thing at a time raises an exception, and a data plane that keeps accounts.

``Faults`` counts the points at which an exception may be raised: every command to the data plane, every log
line, and every handler, callback and tool, before and after its work. A scenario runs once to count
them, and then once for each point, at which an exception is raised.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import Any

from omnibus.daemon.activation.tools import Program
from omnibus.daemon.driver import Driver
from omnibus.daemon.driver.stats import CONNECTION, OWN_CONNECTION, OWN_CONNECTION_STATES, OWN_TOTALS, TOTALS
from omnibus.daemon.guard import Failed, Guard
from omnibus.daemon.logging import Field
from omnibus.daemon.loop import Loop
from omnibus.systemd.notify import Notifier
from omnibus.transport.relay import EventKind, Question, Table
from support.plane import FakeEvent, FakePlane, Lines

INFALLIBLE = ("events", "next_id", "incomplete", "take", "listen", "stop_listening")
"""Methods of the data plane that can't fail, or belong to its start and end."""


class Faults:
    """Raises ``error`` at the point number ``at``, and records the names of all points passed."""

    def __init__(self, at: int | None = None, error: type[Exception] = ZeroDivisionError) -> None:
        self.at = at
        self.error = error
        self.passed: list[str] = []
        self.paths: dict[tuple[Any, ...], int] = {}
        self.active = False

    def point(self, name: str) -> None:
        if not self.active:
            return
        if self.at is None:
            self.paths.setdefault((name, *_call_path()), len(self.passed))
        self.passed.append(name)
        if len(self.passed) - 1 == self.at:
            raise self.error(f"injected: {name}")

    def distinct(self) -> list[tuple[int, str]]:
        """Return the points by number and name, the first of each distinct call path."""
        return [(at, name) for (name, *_), at in self.paths.items()]

    def before(self, name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same function, which may raise before its work."""

        def act(*args: Any, **options: Any) -> Any:
            self.point(name)
            return action(*args, **options)

        return act

    def around(self, name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same function, which may raise before and after its work."""

        def act(*args: Any, **options: Any) -> Any:
            self.point(f"{name}, before")
            result = action(*args, **options)
            self.point(f"{name}, after")
            return result

        return act


def _call_path() -> Iterator[tuple[str, int]]:
    """Return the call path within the daemon's code."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if "/omnibus/" in name:
            yield name, frame.f_lineno
        frame = frame.f_back


class AccountingPlane(FakePlane):
    """A data plane that keeps account of pending obligations.

    ``calls``: (peer, serial) of the calls without a reply; ``stopped``: the peers whose input is stopped;
    ``parked``: the senders and destinations of parked messages; ``gone``: disconnected peers that are not yet
    forgotten; ``answers``: how often each call was answered.
    """

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self.peers: set[int] = set()
        self.calls: set[tuple[int, int]] = set()
        self.stopped: set[int] = set()
        self.parked: dict[int, tuple[int, str]] = {}
        self.gone: set[int] = set()
        self.answers: Counter[tuple[int, int]] = Counter()
        self.queues: dict[str, tuple[int, ...]] = {}
        self.listening: list[int] = []
        for name in dir(FakePlane):
            if not name.startswith("_") and name not in INFALLIBLE and callable(getattr(self, name)):
                setattr(self, name, self._failing(faults, name))
        self.attach = self._failing(faults, "attach")

    def _failing(self, faults: Faults, name: str) -> Callable[..., Any]:
        """A command fails without effect: the data plane had no memory for it."""
        command = getattr(type(self), name)

        def run(*args: Any, **options: Any) -> Any:
            try:
                faults.point(f"plane.{name}")
            except Exception:
                # The data plane owns passed descriptors even if it has no memory for their message.
                for fd in (args[1], *(early for early, _ in args[4])) if name == "attach" else ():
                    os.close(fd)
                raise
            return command(self, *args, **options)

        return run

    def attach(
        self, peer: int, fd: int, arrival: Any, leftover: bytes, fds: Sequence[tuple[int, int]], **more: Any
    ) -> None:
        self.batch.append(("attach", peer))
        for one in (fd, *(early for early, _ in fds)):
            os.close(one)

    def listen(self, fd: int, number: int, guid: str, *, simple: bool, only_external: bool) -> None:
        self.listening.append(number)

    def stop_listening(self) -> None:
        self.listening.clear()

    def set_catalog(self, names: bytes, follower: object) -> None:
        """Keep the names alone: a follower has a descriptor."""
        super().set_catalog(names, None)

    def commit(self) -> None:
        batch = self.batch
        super().commit()
        for kind, *rest in batch:
            apply = getattr(self, f"_apply_{kind}", None)
            if apply is not None:
                apply(*rest)

    def report(self, event: FakeEvent) -> None:
        """Report an event, and update the accounts with its consequences."""
        if event.kind == EventKind.CALL:
            self.stopped.add(event.peer)
            if event.type == 1:
                self.calls.add((event.peer, event.serial))
        elif event.kind == EventKind.PARKED:
            self.parked[event.parked] = (event.peer, str(event.destination))
        elif event.kind in (EventKind.GONE, EventKind.LEFT):
            self.peers.discard(event.peer)
            self._drop(event.peer)
            if event.kind == EventKind.GONE:
                self.gone.add(event.peer)
        elif event.kind == EventKind.ADMITTED:
            self.peers.add(event.peer)
        elif event.kind == EventKind.NAMED:
            self.queues[str(event.destination)] = (event.peer,)
        elif event.kind == EventKind.RELEASED:
            self.queues.pop(str(event.destination), None)
        elif event.kind == EventKind.HANDED_UP:
            self.silent += 1
        self.waiting.append(event)

    def _drop(self, peer: int) -> None:
        self.stopped.discard(peer)
        self.calls = {call for call in self.calls if call[0] != peer}
        self.parked = {number: one for number, one in self.parked.items() if one[0] != peer}

    def _apply_reply(self, peer: int, serial: int, *rest: Any) -> None:
        self._apply_error(peer, serial)

    def _apply_error(self, peer: int, serial: int, *rest: Any) -> None:
        self.answers[peer, serial] += 1
        self.calls.discard((peer, serial))

    def _apply_welcome(self, peer: int, serial: int) -> None:
        self._apply_error(peer, serial)
        self.stopped.discard(peer)

    def _apply_become_monitor(self, peer: int, serial: int, rules: Any) -> None:
        self._apply_error(peer, serial)

    _apply_become_tracer = _apply_become_monitor

    def _apply_attach(self, peer: int) -> None:
        self.peers.add(peer)

    def _apply_resume(self, peer: int) -> None:
        self.stopped.discard(peer)

    def _apply_set_queue(self, name: str, peers: tuple[int, ...]) -> None:
        self.queues[name] = peers
        if not peers:
            del self.queues[name]

    def _apply_leave_queue(self, name: str, peer: int) -> None:
        self._apply_set_queue(name, tuple(one for one in self.queues.get(name, ()) if one != peer))

    def _apply_deliver(self, parked: int) -> None:
        peer, name = self.parked.pop(parked, (0, ""))
        if name and name not in self.queues:
            self.report(FakeEvent(EventKind.PARKED, peer, parked, destination=name))

    def _apply_reject(self, parked: int, *rest: Any) -> None:
        self.parked.pop(parked, None)

    def _apply_disconnect(self, peer: int) -> None:
        if peer in self.peers:
            self.report(FakeEvent(EventKind.GONE, peer))

    def _apply_forget(self, peer: int) -> None:
        self.gone.discard(peer)

    def _apply_explain(self, question: Question) -> None:
        row = {"module": "AppArmor", "permission": "send", "label": "one", "allowed": True}
        self.report(FakeEvent(EventKind.EXPORT, body=json.dumps([row]).encode()))

    def _apply_export(self, kind: int, peers: tuple[int, ...]) -> None:
        columns: Any = {
            Table.TOTALS: dict.fromkeys((*TOTALS.values(), *OWN_TOTALS.values()), 1) | {"asked": {}},
            Table.MATCHES: {f":1.{peer}": ["type='signal'"] for peer in peers},
            Table.CONNECTIONS: [
                dict.fromkeys((*CONNECTION.values(), *OWN_CONNECTION.values()), 1)
                | dict.fromkeys(OWN_CONNECTION_STATES.values(), False)
                | {"id": peer}
                for peer in peers
            ],
            Table.REPLIES: [{"caller": peer, "callee": peer, "serial": 1, "age": 2} for peer in self.peers],
        }
        self.report(FakeEvent(EventKind.EXPORT, body=json.dumps(columns[Table(kind)]).encode()))


class FailingLines(Lines):
    """A log that may fail to write a line."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def write(self, severity: int, text: str, fields: Mapping[str, Field] | None = None) -> None:
        super().write(severity, text, fields)
        if not text.startswith("Traceback"):
            self._faults.point("log")


class FailingGuard(Guard):
    """A guard with actions that may fail: all callbacks are run by it."""

    def __init__(self, log: Lines, faults: Faults) -> None:
        super().__init__(log)
        self._faults = faults

    def run(self, action: Callable[[], object], failed: Failed) -> None:
        name = getattr(action, "func", action)
        name = getattr(name, "__qualname__", repr(name))
        if name.startswith("AccountingPlane."):
            super().run(action, failed)  # the command fails by itself
        else:
            super().run(self._faults.around(name, action), failed)


class FailingNotifier(Notifier):
    """A service manager that can't be notified."""

    def __init__(self, faults: Faults) -> None:
        super().__init__({})
        self._faults = faults
        self.watchdog_interval = 5.0
        self.said: list[str] = []

    def _send(self, *assignments: str, patience: float | None = None) -> None:
        self._faults.point("notifier")
        self.said += assignments


class FakeChild:
    """A program that ends when it is killed, or when a test says so."""

    def __init__(self, loop: Loop, ended: Callable[[int], object], failed: Failed) -> None:
        self._loop = loop
        self._ended: Callable[[int], object] | None = ended
        self._failed = failed

    def end(self, status: int) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            self._loop.run(partial(ended, status), self._failed)

    def kill(self) -> None:
        self._loop.soon(partial(self.end, 9), self._failed)


class FakeSpawner:
    """Records the started programs."""

    def __init__(self, loop: Loop, faults: Faults) -> None:
        self._loop = loop
        self._faults = faults
        self.children: list[FakeChild] = []

    def spawn(self, program: Program, ended: Callable[[int], object], failed: Failed) -> FakeChild:
        self._faults.point("spawn, before")
        self.children.append(FakeChild(self._loop, ended, failed))
        return self.children[-1]

    def adopt(self, pid: int, ended: Callable[[int], object], failed: Failed) -> FakeChild:
        self._faults.point("adopt, before")
        self.children.append(FakeChild(self._loop, ended, failed))
        return self.children[-1]


def failing_driver(faults: Faults) -> Driver:
    """Return the driver with methods and properties that may fail, taken from its tables."""
    whole = Driver()
    return Driver(
        tuple(
            interface.replace(
                methods=tuple(
                    method
                    if method.handler is None
                    else method.replace(handler=faults.around(f"driver.{method.name}", method.handler))
                    for method in interface.methods
                ),
                properties=tuple(
                    prop.replace(value=faults.around(f"driver.{prop.name}", prop.value))
                    for prop in interface.properties
                ),
            )
            for interface in whole.interfaces
        )
    )


def open_fds() -> int:
    gc.collect()  # what an earlier test has left to the collector may hold descriptors
    return len(os.listdir("/proc/self/fd"))
