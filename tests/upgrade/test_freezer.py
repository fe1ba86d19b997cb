"""The state is written until nothing has changed meanwhile, and not for longer than clients can wait."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from omnibus.daemon.upgrade import freezer as freezer_module
from omnibus.daemon.upgrade.freezer import Freezer, Unrest
from omnibus.transport.relay import EventKind
from omnibus.transport.relay.state import StateError
from support.plane import FakeEvent


class World:
    """A bus whose data plane answers each dump with the next of these errors; None: not at all."""

    def __init__(self, *errors: int | None) -> None:
        self.errors = iter(errors)
        self.handlings: dict[int, Any] = {}
        self.waiting: list[FakeEvent] = []
        self.commands: list[Any] = []
        self.relay = self
        self.event_fd, self.writing = os.pipe()
        os.write(self.writing, b"x")
        self.freezer = Freezer(self, None)  # type: ignore[arg-type]

    def freeze(self) -> None:
        self.commands.append("freeze")
        self.waiting.append(FakeEvent(EventKind.FROZEN))

    def thaw(self) -> None:
        self.commands.append("thaw")

    def dump(self, fd: int, sections: bytes) -> None:
        self.commands.append(sections)
        error = next(self.errors)
        if error is not None:
            self.waiting.append(FakeEvent(EventKind.DUMPED, serial=error, body=b"why" if error else b""))

    def commit(self) -> None:
        pass

    def dispatch(self) -> None:
        events, self.waiting = self.waiting, []
        for event in events:
            self.handlings[event.kind].handle(event)


@pytest.fixture
def make() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def begin(*errors: int | None) -> World:
        made.append(World(*errors))
        return made[-1]

    yield begin
    for world in made:
        os.close(world.event_fd)
        os.close(world.writing)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that goes on by a tick whenever it is read."""
    found = SimpleNamespace(now=0.0, tick=0.0)

    def read() -> float:
        found.now += found.tick
        return found.now

    monkeypatch.setattr(freezer_module, "time", SimpleNamespace(monotonic=read))
    return found


class TestWrite:
    def test_at_once(self, make: Callable[..., World]) -> None:
        world = make(0)
        world.freezer.write(9, lambda: b"same")
        assert world.commands == ["freeze", b"same"]

    def test_events_first(self, make: Callable[..., World], clock: Any) -> None:
        world = make(errno.EAGAIN, errno.EAGAIN, 0)
        world.freezer.write(9, lambda: b"same")
        assert world.commands == ["freeze", *[b"same"] * 3]

    def test_changed_meanwhile(self, make: Callable[..., World], clock: Any) -> None:
        """What was written before an event was handled is not the state any more."""
        world = make(0, 0)
        sections = iter([b"a", b"b", b"b", b"b"])
        world.freezer.write(9, lambda: next(sections))
        assert world.commands == ["freeze", b"a", b"b"]

    def test_too_much_to_do(self, make: Callable[..., World], clock: Any) -> None:
        """It is given up after 20 ms, and after a number of turns however fast they are."""
        clock.tick = 0.002
        with pytest.raises(Unrest):
            make(*[errno.EAGAIN] * 20).freezer.write(9, lambda: b"")
        clock.tick = 0.0
        numbers = itertools.count()
        world = make(*[0] * 1000)
        with pytest.raises(Unrest):
            world.freezer.write(9, lambda: str(next(numbers)).encode())
        assert len(world.commands) == 1001

    def test_an_error(self, make: Callable[..., World]) -> None:
        with pytest.raises(StateError, match="can't be written: why"):
            make(errno.ENOSPC).freezer.write(9, lambda: b"")

    def test_no_answer(self, make: Callable[..., World], clock: Any) -> None:
        """A data plane that hangs does not take the control plane with it."""
        clock.tick = 0.5
        with pytest.raises(StateError, match="does not answer"):
            make(None).freezer.write(9, lambda: b"")
