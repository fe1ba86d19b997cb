"""When the service directories are read, and when the cache answers a lookup."""

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
    """A fake watch; ``possible``: whether directories can be watched."""

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


class LookupHarness:
    """The services in a directory, and lookups in them."""

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
        """Return the result, None if a reading is needed."""
        told: list[Catalog] = []
        self.services.ask(told.append, ignored)
        return told[0] if told else None

    def read(self) -> Catalog:
        """Make a lookup that needs a reading, and return its result."""
        told: list[Catalog] = []
        self.services.ask(told.append, ignored)
        assert told == []
        self.tools.read()
        return told[0]


@pytest.fixture
def harness(tmp_path: Path) -> LookupHarness:
    return LookupHarness(tmp_path)


@pytest.fixture
def follower(harness: LookupHarness) -> Follower:
    """Changes are reported from the next reading on."""
    found = Follower()
    harness.services.set_follower(found)
    return found


def test_changes_are_not_reported(harness: LookupHarness) -> None:
    """Every lookup needs a reading."""
    harness.read()
    harness.read()


def test_nothing_is_reported(harness: LookupHarness, follower: Follower) -> None:
    """The cache answers at once."""
    harness.write(NAME)
    known = harness.read()
    assert NAME in known.services
    assert follower.followed == [[str(harness.directory)]]
    assert harness.ask() is known
    assert harness.ask() is known


def test_change_is_reported(harness: LookupHarness, follower: Follower) -> None:
    harness.write(NAME)
    harness.read()
    harness.write(NAME, "/bin/false")
    follower.changed = True
    assert harness.read().services[NAME].exec == "/bin/false"
    assert harness.ask() is not None


def test_directory_has_changed(harness: LookupHarness, follower: Follower) -> None:
    """The directory's own state shows a change that is not reported, such as a mount."""
    harness.read()
    harness.directory.rename(harness.directory.with_name("old"))
    harness.directory.mkdir()
    harness.write(NAME)
    assert NAME in harness.read().services
    assert harness.announced == 1


def test_change_during_the_reading(harness: LookupHarness, follower: Follower) -> None:
    """The next lookup needs another reading."""
    harness.services.ask(ignored, ignored)
    follower.changed = True
    harness.tools.read()
    harness.read()
    assert harness.ask() is not None


def test_during_a_reading(harness: LookupHarness, follower: Follower) -> None:
    """A lookup during a reading waits for the next one."""
    harness.services.ask(ignored, ignored)
    assert harness.ask() is None
    harness.tools.read()


def test_unwatchable_directory(harness: LookupHarness) -> None:
    """A directory that can't be watched: every lookup needs a reading."""
    harness.services.set_follower(Follower(possible=False))
    harness.read()
    harness.read()


def test_lost(harness: LookupHarness, follower: Follower) -> None:
    harness.read()
    harness.services.set_follower(None)
    harness.read()
    harness.read()


def test_another_watch(harness: LookupHarness, follower: Follower) -> None:
    """The new watch must be in place before the cache is used."""
    harness.read()
    harness.services.set_follower(Follower())
    harness.read()
    assert harness.ask() is not None


def test_other_directories(harness: LookupHarness, follower: Follower, tmp_path: Path) -> None:
    harness.read()
    other = tmp_path / "other"
    other.mkdir()
    harness.services.configure([ServiceDir(str(other))], helper=False)
    assert harness.ask() is None
    harness.tools.read()
    assert follower.followed[-1] == [str(other)]


def test_following_fails(harness: LookupHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch raises an exception: every lookup needs a reading."""

    class Broken(Follower):
        def follow(self, directories: Sequence[str]) -> bool:
            raise RuntimeError("no")

    harness.services.set_follower(Broken())
    harness.read()
    harness.read()


def test_reading_fails(harness: LookupHarness, follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old content is returned, and the next lookup tries again; the log has one line."""
    harness.write(NAME)
    harness.read()

    def fail(*_: object, **__: object) -> Catalog:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(module, "read", fail)
    follower.changed = True
    for _ in range(3):
        assert NAME in harness.read().services
    assert sum("a mistake" in line for line in harness.log.lines) == 1
