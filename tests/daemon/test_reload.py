"""Reloading: one at a time, as one step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omnibus.daemon.bus import ReloadFailure
from omnibus.daemon.reload import Reloader
from omnibus.policy.block import encode
from omnibus.policy.error import ConfigError
from omnibus.policy.rules import Kind, Rule
from omnibus.policy.settings import Settings
from omnibus.systemd.notify import Notifier
from support.loop import Loop, guarded

from .conftest import Desk

BAD = ConfigError("/bus.conf", 3, "no")
Result = Settings | ConfigError


class FakeNotifier(Notifier):
    def __init__(self) -> None:
        super().__init__({})
        self.said: list[str] = []

    def reloading(self) -> None:
        self.said.append("reloading")

    def ready(self, status: str = "") -> None:
        self.said.append(status)


class FakeReading:
    """A reading that ends when a test says so."""

    def __init__(self, done: Callable[[Result], None]) -> None:
        self.done = done
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Office:
    """A bus and what reloads its configuration."""

    def __init__(self, desk: Desk, began: float, **settings: Any) -> None:
        self.desk = desk
        self.loop = Loop()
        self.notifier = FakeNotifier()
        self.readings: list[FakeReading] = []
        self.refused: OSError | None = None
        desk.bus.settings = desk.settings.replace(**settings)
        self.old = desk.bus.settings
        self.reloader = Reloader(
            guarded(self.loop, desk.plane.commit, desk.log),
            desk.bus,
            self.read,
            self.notifier,
            status="Serving",
            began=began,
        )
        self.told: list[ReloadFailure | None] = []

    def read(self, done: Callable[[Result], None]) -> FakeReading:
        if self.refused is not None:
            raise self.refused
        self.readings.append(FakeReading(done))
        return self.readings[-1]

    def ask(self) -> None:
        self.reloader.ask(self.told.append)

    def finish(self, result: Result) -> list[tuple[Any, ...]]:
        """End the reading that is under way; return what goes down to the data plane."""
        self.readings[-1].done(result)
        self.loop.turn()
        assert self.desk.plane.batch == []
        return self.desk.plane.take()


@pytest.fixture
def office(desk: Desk, tmp_path: Path) -> Iterator[Office]:
    (tmp_path / "bus.conf").touch()
    found = Office(desk, time.time() + 60, files=(str(tmp_path / "bus.conf"),))
    found.reloader.watch()
    yield found
    found.reloader.stop()


@pytest.fixture
def new_office(desk: Desk, tmp_path: Path) -> Iterator[Office]:
    """One that doesn't watch yet."""
    (tmp_path / "bus.conf").touch()
    found = Office(desk, time.time() - 60, files=(str(tmp_path / "bus.conf"),))
    yield found
    found.reloader.stop()


def new(**settings: Any) -> Settings:
    return Settings(policy=encode([Rule(Kind.OWN, allow=True)]), **settings)


class TestReload:
    def test_good(self, office: Office) -> None:
        office.ask()
        assert office.told == []
        commands = office.finish(new())
        assert [command[0] for command in commands] == ["load_policy", "set_limits", "signal"]
        assert office.told == [None]
        assert office.notifier.said == ["reloading", "Serving"]

    def test_bad(self, office: Office) -> None:
        """The old configuration stays, and the service manager is told so."""
        office.ask()
        assert [command[0] for command in office.finish(BAD)] == ["signal"]
        assert office.told == [BAD]
        assert office.desk.bus.settings is office.old
        assert office.notifier.said == [
            "reloading",
            "Still with the old configuration: /bus.conf:3: no",
        ]

    def test_call(self, office: Office) -> None:
        """The answer, policy and limits are one step."""
        peer = office.desk.attach()
        assert office.desk.call(peer, "ReloadConfig", serial=5) == []
        commands = office.finish(new())
        assert [command[0] for command in commands] == [
            "load_policy",
            "set_limits",
            "signal",
            "reply",
            "resume",
        ]

    def test_no_process(self, office: Office) -> None:
        office.refused = OSError(11, "Resource temporarily unavailable")
        office.ask()
        assert office.told == [office.refused]
        assert office.desk.log.lines == [
            "Unable to reload configuration: [Errno 11] Resource temporarily unavailable"
        ]
        office.refused = None
        office.ask()
        office.finish(new())
        assert office.told[1:] == [None]

    def test_rules_that_the_data_plane_refuses(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(block: bytes) -> None:
            raise MemoryError

        monkeypatch.setattr(office.desk.plane, "load_policy", refuse)
        office.ask()
        office.finish(new())
        assert "MemoryError" in str(office.told[0])
        assert office.desk.bus.settings is office.old

    @pytest.mark.parametrize("policy", [b"", new().policy[:-1]])
    def test_no_block(self, office: Office, policy: bytes) -> None:
        office.ask()
        assert [command[0] for command in office.finish(Settings(policy=policy))] == ["signal"]
        assert isinstance(office.told[0], ConfigError)


class TestOneAtATime:
    def test_requests_during_a_reload(self, office: Office) -> None:
        """They cause exactly one more, and are answered after that one."""
        office.ask()
        office.ask()
        office.ask()
        assert len(office.readings) == 1
        office.finish(BAD)
        assert office.told == [BAD]
        assert len(office.readings) == 2
        office.finish(new())
        assert office.told == [BAD, None, None]
        assert len(office.readings) == 2

    def test_service_manager(self, office: Office) -> None:
        """It hears of each request, since it waits for one after its own signal, but of one end."""
        office.ask()
        assert office.notifier.said == ["reloading"]
        office.ask()
        assert office.notifier.said == ["reloading", "reloading"]
        office.finish(new())
        assert office.notifier.said == ["reloading", "reloading"]
        office.finish(new())
        assert office.notifier.said == ["reloading", "reloading", "Serving"]


class TestWatching:
    def change(self, office: Office) -> None:
        """Change the configuration's file and let time pass."""
        Path(office.old.files[0]).write_text("x")
        office.loop.pass_time(1)

    def test_changed_file(self, office: Office) -> None:
        self.change(office)
        assert len(office.readings) == 1

    def test_change_before_a_reading_is_in_it(self, office: Office) -> None:
        Path(office.old.files[0]).write_text("x")
        office.ask()
        office.loop.pass_time(1)
        office.finish(new().replace(files=office.old.files))
        office.loop.pass_time(1)
        assert len(office.readings) == 1

    def test_change_during_a_reading_leads_to_one_more(self, office: Office) -> None:
        office.ask()
        self.change(office)
        office.finish(new().replace(files=office.old.files))
        assert len(office.readings) == 2

    def test_new_files(self, office: Office, tmp_path: Path) -> None:
        """What has been read last is what is watched."""
        other = tmp_path / "other" / "bus.conf"
        other.parent.mkdir()
        other.touch()
        office.ask()
        office.finish(new().replace(files=(str(other),)))
        office.loop.pass_time(1)  # the place is new
        before = len(office.readings)
        if before == 2:
            office.finish(new().replace(files=(str(other),)))
        self.change(office)
        assert len(office.readings) == before
        other.write_text("x")
        office.loop.pass_time(1)
        assert len(office.readings) == before + 1

    def test_file_at_fault(self, office: Office, tmp_path: Path) -> None:
        """It is read again when it was mended, although nothing that is in force came from it."""
        bad = tmp_path / "bad.conf"
        bad.touch()
        office.ask()
        office.finish(ConfigError(str(bad), 3, "no"))
        bad.write_text("good")
        office.loop.pass_time(1)
        assert len(office.readings) == 2

    def test_change_before_the_first_watch(self, new_office: Office) -> None:
        """Clients come before watching; what changes until then is not missed."""
        new_office.loop.pass_time(1)
        assert new_office.readings == []
        new_office.reloader.watch()
        new_office.loop.pass_time(1)
        assert len(new_office.readings) == 1

    def test_reload_before_the_first_watch(self, new_office: Office) -> None:
        """It begins the watch, which has nothing to add."""
        new_office.ask()
        new_office.reloader.watch()
        new_office.finish(new().replace(files=new_office.old.files))
        new_office.loop.pass_time(1)
        assert len(new_office.readings) == 1


class TestEnd:
    def test_before_the_first_watch(self, new_office: Office) -> None:
        new_office.reloader.stop()
        assert new_office.loop.readers == {}

    def test_reading_under_way(self, office: Office) -> None:
        office.ask()
        office.reloader.stop()
        assert office.readings[0].cancelled

    def test_nothing_under_way(self, office: Office) -> None:
        office.reloader.stop()
        office.reloader.stop()
        assert office.loop.readers == {}
