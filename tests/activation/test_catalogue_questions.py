"""When the service directories are read, and when what is known of them answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from omnibus.daemon.activation import services as module
from omnibus.daemon.activation.catalog import Catalog
from omnibus.daemon.activation.services import Services
from omnibus.daemon.guard import Guard, ignored
from omnibus.policy.settings import ServiceDir
from support.plane import Lines

from .conftest import FakeTools

NAME = "org.example.Service"


class Follower:
    """Reports changes when the test says so; ``possible``: wherever that is asked for."""

    def __init__(self, *, possible: bool = True) -> None:
        self.possible = possible
        self.changed = True
        self.followed: list[Sequence[str]] = []

    def follow(self, directories: Sequence[str]) -> bool:
        self.followed.append(directories)
        self.changed = False
        return self.possible

    def has_changed(self) -> bool:
        return self.changed


class Desk:
    """The services in a directory, and what is asked about them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tools = FakeTools()
        self.log = Lines()
        self.announced = 0
        self.services = Services(self.tools, self.log, Guard(self.log), self.announce)
        self.services.configure([ServiceDir(str(directory))], helper=False)
        self.tools.read()

    def announce(self) -> None:
        self.announced += 1

    def write(self, name: str, exec: str = "/bin/true") -> None:
        (self.directory / f"{name}.service").write_text(f"[D-BUS Service]\nName={name}\nExec={exec}\n")

    def ask(self) -> Catalog | None:
        """Return the answer, None if it takes a reading."""
        told: list[Catalog] = []
        self.services.ask(told.append, ignored)
        return told[0] if told else None

    def read(self) -> Catalog:
        """Ask what takes a reading, and return the answer."""
        told: list[Catalog] = []
        self.services.ask(told.append, ignored)
        assert told == []
        self.tools.read()
        return told[0]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def follower(desk: Desk) -> Follower:
    """Changes are reported from the next reading on."""
    found = Follower()
    desk.services.follow_by(found)
    return found


def test_changes_are_not_reported(desk: Desk) -> None:
    """Every question takes a reading."""
    desk.read()
    desk.read()


def test_nothing_is_reported(desk: Desk, follower: Follower) -> None:
    """What is known answers at once."""
    desk.write(NAME)
    known = desk.read()
    assert NAME in known.services
    assert follower.followed == [[str(desk.directory)]]
    assert desk.ask() is known
    assert desk.ask() is known


def test_change_is_reported(desk: Desk, follower: Follower) -> None:
    desk.write(NAME)
    desk.read()
    desk.write(NAME, "/bin/false")
    follower.changed = True
    assert desk.read().services[NAME].exec == "/bin/false"
    assert desk.ask() is not None


def test_directory_says_it(desk: Desk, follower: Follower) -> None:
    """A change that is not reported: another directory is mounted there, say."""
    desk.read()
    desk.directory.rename(desk.directory.with_name("old"))
    desk.directory.mkdir()
    desk.write(NAME)
    assert NAME in desk.read().services
    assert desk.announced == 1


def test_change_during_the_reading(desk: Desk, follower: Follower) -> None:
    """The next question takes another one."""
    desk.services.ask(ignored, ignored)
    follower.changed = True
    desk.tools.read()
    desk.read()
    assert desk.ask() is not None


def test_reading_under_way(desk: Desk, follower: Follower) -> None:
    """What comes meanwhile waits for the next one."""
    desk.services.ask(ignored, ignored)
    assert desk.ask() is None
    desk.tools.read()


def test_not_everywhere(desk: Desk) -> None:
    """A directory that can't be watched: every question takes a reading."""
    desk.services.follow_by(Follower(possible=False))
    desk.read()
    desk.read()


def test_lost(desk: Desk, follower: Follower) -> None:
    desk.read()
    desk.services.follow_by(None)
    desk.read()
    desk.read()


def test_another_one(desk: Desk, follower: Follower) -> None:
    """It has to follow before what is known counts."""
    desk.read()
    desk.services.follow_by(Follower())
    desk.read()
    assert desk.ask() is not None


def test_other_directories(desk: Desk, follower: Follower, tmp_path: Path) -> None:
    desk.read()
    other = tmp_path / "other"
    other.mkdir()
    desk.services.configure([ServiceDir(str(other))], helper=False)
    assert desk.ask() is None
    desk.tools.read()
    assert follower.followed[-1] == [str(other)]


def test_following_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in it: every question takes a reading."""

    class Broken(Follower):
        def follow(self, directories: Sequence[str]) -> bool:
            raise RuntimeError("no")

    desk.services.follow_by(Broken())
    desk.read()
    desk.read()


def test_reading_fails(desk: Desk, follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known answers, and the next question tries again; the log has one line."""
    desk.write(NAME)
    desk.read()

    def fail(*_: object, **__: object) -> Catalog:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(module, "read", fail)
    follower.changed = True
    for _ in range(3):
        assert NAME in desk.read().services
    assert sum("a mistake" in line for line in desk.log.lines) == 1
