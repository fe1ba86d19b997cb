"""``omnibusctl upgrade``, the command for administrators and package scripts; ``omnibusd --can-resume``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omnibus.ctl import upgrading
from omnibus.daemon.upgrade.sections import FORMATS
from support.daemon import config, start

from .conftest import Bus, StartBus

REFERENCE = "/usr/bin/dbus-daemon"


class TestOneBus:
    def test_session(self, bus: Bus) -> None:
        done = bus.control("--user", "upgrade")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("\n") == 1
        assert done.stdout.startswith(bus.daemon.address)
        assert "connections, waited" in done.stdout

    def test_address(self, bus: Bus) -> None:
        assert bus.control(f"--address={bus.daemon.address}", "upgrade").returncode == 0
        assert bus.daemon.stderr.count("Upgraded") == 1

    def test_runtime_directory(self, bus: Bus) -> None:
        """Without another address a session's bus is found as by every client."""
        done = bus.control(
            "--user", "upgrade", DBUS_SESSION_BUS_ADDRESS="", XDG_RUNTIME_DIR=str(bus.directory)
        )
        assert done.returncode == 0, done

    def test_failure(self, bus: Bus) -> None:
        bus.program.unlink()
        done = bus.control("--user", "upgrade")
        assert done.returncode == 1
        assert "failed: Not upgraded: " in done.stdout

    def test_no_bus(self, bus: Bus, tmp_path: Path) -> None:
        done = bus.control(f"--address=unix:path={tmp_path}/none", "upgrade")
        assert done.returncode == 1
        assert "no bus: " in done.stdout

    def test_another_program(self, bus: Bus) -> None:
        """What is not omnibus needs a restart, which is told by the exit status."""
        if not os.access(REFERENCE, os.X_OK):
            pytest.skip(f"no {REFERENCE}")
        daemon = start(REFERENCE, config("unix:path={dir}/bus"))
        try:
            done = bus.control(f"--address={daemon.address}", "upgrade")
        finally:
            daemon.stop()
        assert done.returncode == 5
        assert "a restart is needed" in done.stdout

    def test_formats(self, bus: Bus) -> None:
        done = bus.run("--can-resume")
        assert (done.returncode, done.stdout) == (0, "".join(f"{one}\n" for one in FORMATS))

    def test_no_command_of_the_daemon(self, bus: Bus) -> None:
        """There is one way to ask for an upgrade."""
        done = bus.run("--upgrade")
        assert done.returncode == 1
        assert done.stderr.startswith('omnibusd: unknown option "--upgrade"')


class TestAll:
    def test_each_as_its_user(self, start_bus: StartBus, unprivileged: int) -> None:
        """The system's bus, and one below /run/user of a user who owns it."""
        system = start_bus()
        users = system.directory / "users"
        directory = users / str(unprivileged)
        directory.mkdir(parents=True)
        os.chown(directory, unprivileged, unprivileged)
        text = config(f"unix:path={directory}/bus").replace("<type>", f"<user>{unprivileged}</user><type>")
        session = start_bus(text=text)
        environment = {"DBUS_SYSTEM_BUS_ADDRESS": system.daemon.address}
        assert upgrading.upgrade_all(environment, str(users)) == 0
        for bus in (system, session):
            assert "Upgraded" in bus.daemon.stderr

    def test_one_that_can_not_be_reached(self, unprivileged: int, tmp_path: Path) -> None:
        """That is a failure: a bus may be there."""
        (tmp_path / str(unprivileged)).mkdir()
        (tmp_path / str(unprivileged) / "bus").touch()
        tmp_path.chmod(0o700)
        environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
        assert upgrading.upgrade_all(environment, str(tmp_path)) == 1

    def test_where_there_is_none(self, tmp_path: Path) -> None:
        """A socket without a bus is no failure."""
        (tmp_path / "0").mkdir()
        (tmp_path / "0/bus").touch()
        environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/none"}
        assert upgrading.upgrade_all(environment, str(tmp_path)) == 0

    def test_statuses(self) -> None:
        """A failure counts more than a bus that can never be upgraded."""
        assert upgrading.worst([0, 5, 1]) == 1
        assert upgrading.worst([0, 5]) == 5
        assert upgrading.worst([0]) == 0
