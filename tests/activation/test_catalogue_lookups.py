"""When the service directories are read, and what the data plane is told about them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from omnibus.daemon.activation import services as module
from omnibus.daemon.activation.catalog import Catalog
from omnibus.daemon.activation.services import Services
from omnibus.daemon.guard import Guard, ignored
from omnibus.policy.settings import ServiceDir
from omnibus.transport.relay import Follower
from omnibus.transport.relay._relay import ffi
from support.plane import BUS, FakePlane, Lines
from support.wire import unmarshal

from .conftest import FakeTools

NAME = "org.example.Service"


class LookupHarness:
    """The services in a directory, and lookups in them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plane = FakePlane()
        self.tools = FakeTools()
        self.log = Lines()
        self.announced = 0
        self.services = Services(self.plane, self.tools, self.log, Guard(self.log), self.announce)
        self.services.configure([ServiceDir(str(directory))], helper=False)
        self.tools.read()

    def announce(self) -> None:
        self.announced += 1

    def write(self, name: str, exec: str = "/bin/true") -> None:
        (self.directory / f"{name}.service").write_text(f"[D-BUS Service]\nName={name}\nExec={exec}\n")

    def ask(self, *, current: bool) -> Catalog | None:
        """Return the result, None if a reading is needed."""
        told: list[Catalog] = []
        self.services.ask(told.append, ignored, current=current)
        return told[0] if told else None

    def read(self) -> Catalog:
        """Make a lookup that needs a reading, and return its result."""
        told: list[Catalog] = []
        self.services.ask(told.append, ignored)
        assert told == []
        self.tools.read()
        return told[0]

    @property
    def names(self) -> list[str]:
        """What the data plane lists."""
        return list(unmarshal("as", self.plane.names)[0])

    @property
    def is_current(self) -> bool:
        """Whether the data plane may answer by the catalogue."""
        return self.plane.follower is not None and not self.plane.follower.changed()


@pytest.fixture
def harness(tmp_path: Path) -> LookupHarness:
    directory = tmp_path / "services"
    directory.mkdir()
    return LookupHarness(directory)


def test_data_plane_has_the_catalogue(harness: LookupHarness) -> None:
    harness.write(NAME)
    assert not harness.is_current
    harness.read()
    assert harness.names == [BUS, NAME]
    assert harness.is_current
    assert harness.announced == 1


def test_current(harness: LookupHarness) -> None:
    """A question that the data plane handed up to start a service needs no reading."""
    harness.write(NAME)
    known = harness.read()
    assert harness.ask(current=True) is known
    assert harness.tools.waiting == []


def test_change(harness: LookupHarness) -> None:
    harness.write(NAME)
    harness.read()
    harness.write(NAME, "/bin/false")
    assert not harness.is_current
    assert harness.read().services[NAME].exec == "/bin/false"
    assert harness.is_current


def test_change_during_the_reading(harness: LookupHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data plane sees it, and the next question needs another reading."""
    plain, once = module.read, itertools.count()

    def read(*args: object, **more: object) -> Catalog:
        found: Catalog = plain(*args, **more)  # type: ignore[arg-type]
        if not next(once):
            harness.write(NAME)
        return found

    monkeypatch.setattr(module, "read", read)
    assert NAME not in harness.read().services
    assert not harness.is_current
    assert NAME in harness.read().services
    assert harness.is_current


def test_during_a_reading(harness: LookupHarness) -> None:
    """A question during a reading waits for the next one, unless its catalogue was current."""
    harness.services.ask(ignored, ignored)
    assert harness.ask(current=False) is None
    assert harness.ask(current=True) is not None
    harness.tools.read()


def test_other_directories(harness: LookupHarness, tmp_path: Path) -> None:
    """The data plane must not answer by those of the old configuration."""
    harness.read()
    other = tmp_path / "other"
    other.mkdir()
    harness.services.configure([ServiceDir(str(other))], helper=False)
    assert not harness.is_current
    assert harness.ask(current=True) is None
    harness.tools.read()
    assert harness.is_current


def test_no_inotify(harness: LookupHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question needs a reading."""

    class Without(Follower):
        def __init__(self) -> None:
            self.native = ffi.NULL

    monkeypatch.setattr(module, "Follower", Without)
    harness.write(NAME)
    assert NAME in harness.read().services
    assert not harness.is_current


def test_reading_fails(harness: LookupHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old content is returned, and the next lookup tries again; the log has one line."""
    harness.write(NAME)
    harness.read()

    def fail(*_: object, **__: object) -> Catalog:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(module, "read", fail)
    for _ in range(3):
        assert NAME in harness.read().services
        assert not harness.is_current
    assert sum("a mistake" in line for line in harness.log.lines) == 1
