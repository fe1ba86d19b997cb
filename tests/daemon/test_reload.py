"""Reloading: one at a time, with one commit."""

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
from omnibus.policy.settings import ConfigWarning, Settings
from omnibus.systemd.notify import Notifier
from omnibus.transport.relay import EventKind, Table
from support.loop import Loop, guarded
from support.plane import FakeEvent

from .conftest import Desk

PING = ("export", int(Table.TOTALS), ())
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
    """A reading that ends when the test says so."""

    def __init__(self, done: Callable[[Result], None]) -> None:
        self.done = done
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ReloadHarness:
    """A bus and the object that reloads its configuration."""

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
        """End the current reading; return the commands to the data plane, which has answered the last one."""
        self.readings[-1].done(result)
        self.loop.turn()
        assert self.desk.plane.batch == []
        commands = self.desk.plane.take()
        if commands[-1] != PING:
            return commands
        self.answer()
        return commands[:-1]

    def answer(self) -> None:
        """Answer the question whether the data plane has the policy."""
        self.desk.happen(FakeEvent(EventKind.EXPORT, body=b"{}"))


@pytest.fixture
def reloading_bus(desk: Desk, tmp_path: Path) -> Iterator[ReloadHarness]:
    (tmp_path / "bus.conf").touch()
    found = ReloadHarness(desk, time.time() + 60, files=(str(tmp_path / "bus.conf"),))
    found.reloader.watch()
    yield found
    found.reloader.stop()


@pytest.fixture
def unwatched_bus(desk: Desk, tmp_path: Path) -> Iterator[ReloadHarness]:
    """A reloader that doesn't watch yet."""
    (tmp_path / "bus.conf").touch()
    found = ReloadHarness(desk, time.time() - 60, files=(str(tmp_path / "bus.conf"),))
    yield found
    found.reloader.stop()


def new(**settings: Any) -> Settings:
    return Settings(policy=encode([Rule(Kind.OWN, allow=True)]), **settings)


class TestReload:
    def test_valid_configuration(self, reloading_bus: ReloadHarness) -> None:
        reloading_bus.ask()
        assert reloading_bus.told == []
        commands = reloading_bus.finish(new())
        assert [command[0] for command in commands] == ["load_policy", "set_limits", "signal"]
        assert reloading_bus.told == [None]
        assert reloading_bus.notifier.said == ["reloading", "Serving"]

    def test_systemd_is_told_when_the_data_plane_has_it(self, reloading_bus: ReloadHarness) -> None:
        """The reload is over when no message is judged by the old policy any more."""
        bus = reloading_bus
        bus.ask()
        bus.readings[-1].done(new())
        assert [command[0] for command in bus.desk.plane.take()] == [
            "load_policy",
            "set_limits",
            "signal",
            "export",
        ]
        assert bus.notifier.said == ["reloading"]
        bus.answer()
        assert bus.notifier.said == ["reloading", "Serving"]

    def test_another_request_before_systemd_is_told(self, reloading_bus: ReloadHarness) -> None:
        """Only the end of the last reload is reported."""
        bus = reloading_bus
        bus.ask()
        bus.readings[-1].done(new())
        bus.ask()
        bus.answer()
        assert bus.notifier.said == ["reloading", "reloading"]
        bus.finish(new())
        assert bus.notifier.said == ["reloading", "reloading", "Serving"]

    def test_invalid_configuration(self, reloading_bus: ReloadHarness) -> None:
        """The old configuration stays, and the service manager is notified."""
        reloading_bus.ask()
        assert [command[0] for command in reloading_bus.finish(BAD)] == ["signal"]
        assert reloading_bus.told == [BAD]
        assert reloading_bus.desk.bus.settings is reloading_bus.old
        assert reloading_bus.notifier.said == [
            "reloading",
            "Still with the old configuration: /bus.conf:3: no",
        ]

    def test_passed_over_file(self, reloading_bus: ReloadHarness) -> None:
        """The service manager is told of files that the new configuration does without."""
        reloading_bus.ask()
        bad = ConfigWarning("/a/b.conf", 3, "Encountered error 'no' while parsing '/a/b.conf'")
        other = ConfigWarning("/a/c.conf", 4, "Unknown username")
        reloading_bus.finish(new().replace(warnings=(bad, other)))
        assert reloading_bus.notifier.said == ["reloading", "Serving; passed over: /a/b.conf"]

    def test_call(self, reloading_bus: ReloadHarness) -> None:
        """Reply, policy and limits are committed together."""
        peer = reloading_bus.desk.attach()
        assert reloading_bus.desk.call(peer, "ReloadConfig", serial=5) == []
        commands = reloading_bus.finish(new())
        assert [command[0] for command in commands] == [
            "load_policy",
            "set_limits",
            "signal",
            "reply",
            "resume",
        ]

    def test_no_process(self, reloading_bus: ReloadHarness) -> None:
        reloading_bus.refused = OSError(11, "Resource temporarily unavailable")
        reloading_bus.ask()
        assert reloading_bus.told == [reloading_bus.refused]
        assert reloading_bus.desk.log.lines == [
            "Unable to reload configuration: [Errno 11] Resource temporarily unavailable"
        ]
        reloading_bus.refused = None
        reloading_bus.ask()
        reloading_bus.finish(new())
        assert reloading_bus.told[1:] == [None]

    def test_rules_that_the_data_plane_refuses(
        self, reloading_bus: ReloadHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(block: bytes) -> None:
            raise MemoryError

        monkeypatch.setattr(reloading_bus.desk.plane, "load_policy", refuse)
        reloading_bus.ask()
        reloading_bus.finish(new())
        assert "MemoryError" in str(reloading_bus.told[0])
        assert reloading_bus.desk.bus.settings is reloading_bus.old

    @pytest.mark.parametrize("policy", [b"", new().policy[:-1]])
    def test_no_block(self, reloading_bus: ReloadHarness, policy: bytes) -> None:
        reloading_bus.ask()
        assert [command[0] for command in reloading_bus.finish(Settings(policy=policy))] == ["signal"]
        assert isinstance(reloading_bus.told[0], ConfigError)


class TestOneAtATime:
    def test_requests_during_a_reload(self, reloading_bus: ReloadHarness) -> None:
        """They cause exactly one more reload, and are answered after it."""
        reloading_bus.ask()
        reloading_bus.ask()
        reloading_bus.ask()
        assert len(reloading_bus.readings) == 1
        reloading_bus.finish(BAD)
        assert reloading_bus.told == [BAD]
        assert len(reloading_bus.readings) == 2
        reloading_bus.finish(new())
        assert reloading_bus.told == [BAD, None, None]
        assert len(reloading_bus.readings) == 2

    def test_service_manager(self, reloading_bus: ReloadHarness) -> None:
        """It is notified of each request, because it waits for that after its own signal, but of one end."""
        reloading_bus.ask()
        assert reloading_bus.notifier.said == ["reloading"]
        reloading_bus.ask()
        assert reloading_bus.notifier.said == ["reloading", "reloading"]
        reloading_bus.finish(new())
        assert reloading_bus.notifier.said == ["reloading", "reloading"]
        reloading_bus.finish(new())
        assert reloading_bus.notifier.said == ["reloading", "reloading", "Serving"]


class TestWatching:
    def change(self, reloading_bus: ReloadHarness) -> None:
        """Change the configuration file and let time pass."""
        Path(reloading_bus.old.files[0]).write_text("x")
        reloading_bus.loop.pass_time(1)

    def test_changed_file(self, reloading_bus: ReloadHarness) -> None:
        self.change(reloading_bus)
        assert len(reloading_bus.readings) == 1

    def test_change_before_a_reading_is_in_it(self, reloading_bus: ReloadHarness) -> None:
        Path(reloading_bus.old.files[0]).write_text("x")
        reloading_bus.ask()
        reloading_bus.loop.pass_time(1)
        reloading_bus.finish(new().replace(files=reloading_bus.old.files))
        reloading_bus.loop.pass_time(1)
        assert len(reloading_bus.readings) == 1

    def test_change_during_a_reading_leads_to_one_more(self, reloading_bus: ReloadHarness) -> None:
        reloading_bus.ask()
        self.change(reloading_bus)
        reloading_bus.finish(new().replace(files=reloading_bus.old.files))
        assert len(reloading_bus.readings) == 2

    def test_new_files(self, reloading_bus: ReloadHarness, tmp_path: Path) -> None:
        """The files of the latest reading are watched."""
        other = tmp_path / "other" / "bus.conf"
        other.parent.mkdir()
        other.touch()
        reloading_bus.ask()
        reloading_bus.finish(new().replace(files=(str(other),)))
        reloading_bus.loop.pass_time(1)  # the directory is new
        before = len(reloading_bus.readings)
        if before == 2:
            reloading_bus.finish(new().replace(files=(str(other),)))
        self.change(reloading_bus)
        assert len(reloading_bus.readings) == before
        other.write_text("x")
        reloading_bus.loop.pass_time(1)
        assert len(reloading_bus.readings) == before + 1

    def test_invalid_file(self, reloading_bus: ReloadHarness, tmp_path: Path) -> None:
        """It is read again after it has changed, although nothing in force came from it."""
        bad = tmp_path / "bad.conf"
        bad.touch()
        reloading_bus.ask()
        reloading_bus.finish(ConfigError(str(bad), 3, "no"))
        bad.write_text("good")
        reloading_bus.loop.pass_time(1)
        assert len(reloading_bus.readings) == 2

    def test_change_before_the_first_watch(self, unwatched_bus: ReloadHarness) -> None:
        """Clients are served before the watch starts; earlier changes are not missed."""
        unwatched_bus.loop.pass_time(1)
        assert unwatched_bus.readings == []
        unwatched_bus.reloader.watch()
        unwatched_bus.loop.pass_time(1)
        assert len(unwatched_bus.readings) == 1

    def test_reload_before_the_first_watch(self, unwatched_bus: ReloadHarness) -> None:
        """The reload starts the watch, which reports no further change."""
        unwatched_bus.ask()
        unwatched_bus.reloader.watch()
        unwatched_bus.finish(new().replace(files=unwatched_bus.old.files))
        unwatched_bus.loop.pass_time(1)
        assert len(unwatched_bus.readings) == 1


class TestEnd:
    def test_before_the_first_watch(self, unwatched_bus: ReloadHarness) -> None:
        unwatched_bus.reloader.stop()
        assert unwatched_bus.loop.readers == {}

    def test_reading_under_way(self, reloading_bus: ReloadHarness) -> None:
        reloading_bus.ask()
        reloading_bus.reloader.stop()
        assert reloading_bus.readings[0].cancelled

    def test_nothing_under_way(self, reloading_bus: ReloadHarness) -> None:
        reloading_bus.reloader.stop()
        reloading_bus.reloader.stop()
        assert reloading_bus.loop.readers == {}
