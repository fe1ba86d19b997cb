"""The units omnibus-fallback.service: a machine whose omnibusd can't serve has the distribution's bus."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.machine import Machine, wait_until
from support.overlay import Overlay

USER = "tester"
AT_MOST = 20.0  # seconds, by systemd's own clock
OPT = "/opt/omnibus"
LOCAL = "/etc/dbus-1/system-local.conf"
BROKEN = "<busconfig>\n<policy context=/>\n</busconfig>\n"


def site(overlay: Overlay) -> Path:
    """Return the directory of the installed package."""
    (found,) = overlay.path(OPT).glob("lib/python3*/site-packages/omnibus")
    return found


def without_modules(overlay: Overlay) -> None:
    """Some modules are missing, as after an interrupted installation."""
    for path in site(overlay).glob("daemon/*.py"):
        path.unlink()


def other_interpreter(overlay: Overlay) -> None:
    """Python was exchanged: Debian 12 became 13, and the environment is that of 12."""
    library = site(overlay).parent.parent
    shutil.move(library, library.with_name("python3.9"))


def truncated_library(overlay: Overlay) -> None:
    """The native module is cut off, as on a full disk."""
    for path in site(overlay).glob("transport/relay/*.so"):
        path.write_bytes(path.read_bytes()[:5000])


def no_program(overlay: Overlay) -> None:
    """The whole installation is gone."""
    overlay.remove("/usr/local/bin/omnibusd")


def broken_own_file(overlay: Overlay) -> None:
    """omnibus's own configuration has a mistake."""
    overlay.write(
        "/etc/omnibus/system.conf", "<omnibusconfig><multicast>perhaps</multicast></omnibusconfig>\n"
    )
    overlay.write("/etc/omnibus/session.conf", "<omnibusconfig>\n")


def crash(machine: Machine) -> None:
    """Let the bus crash, and its standby with it."""
    machine.run("systemctl", "kill", "--signal=SEGV", "dbus.service")


def moment(machine: Machine, unit: str, name: str, *options: str, user: str = "root") -> float:
    """Return a time stamp of a unit, in seconds."""
    return int(machine.property(unit, f"{name}TimestampMonotonic", *options, user=user)) / 1e6


def delay(machine: Machine, *options: str, user: str = "root") -> float:
    """Return the seconds from the first attempt of omnibusd to the service of the other bus."""
    served = moment(machine, "dbus.service", "ActiveEnter", *options, user=user)
    return served - moment(machine, "dbus.socket", "ActiveEnter", *options, user=user)


def user_bus_serves(machine: Machine) -> bool:
    """Ask the user's bus; one that is killed at its start takes the connection with it."""
    return "systemd1" in machine.run("busctl", "--user", "list", user=USER, status=None).stdout


class TestBoot:
    """omnibusd can't become ready in this boot."""

    @pytest.mark.parametrize(
        "damage", [without_modules, other_interpreter, truncated_library, no_program, broken_own_file]
    )
    def test_falls_back(self, boot, damage: Callable[[Overlay], None]) -> None:
        """dbus-daemon serves the system and its users soon, and omnibusd is not tried again in this boot."""
        with boot("omnibus", damage) as machine:
            wait_until(machine.bus_serves, "a bus with systemd on it")
            wait_until(lambda: user_bus_serves(machine), "a bus of the user with its systemd on it")
            assert machine.bus() == "dbus-daemon"
            assert machine.bus("--user", user=USER) == "dbus-daemon"
            assert delay(machine) < AT_MOST
            assert delay(machine, "--user", user=USER) < AT_MOST
            assert machine.output(
                "busctl",
                "get-property",
                "org.freedesktop.login1",
                "/org/freedesktop/login1",
                "org.freedesktop.login1.Manager",
                "BlockInhibited",
                user=USER,
            )
            state = machine.run("systemctl", "is-system-running", "--wait", status=None).stdout
            assert state in ("running\n", "degraded\n")
            attempts = [machine.property("omnibus.service", one) for one in ("NRestarts", "ActiveState")]
            machine.run("systemctl", "reload", "dbus.service")
            machine.run("systemctl", "daemon-reload")
            assert machine.bus() == "dbus-daemon"
            assert attempts == [
                machine.property("omnibus.service", one) for one in ("NRestarts", "ActiveState")
            ]

    def test_is_loud(self, boot) -> None:
        """The journal, at priority err, and the message of the day say so, and what to look at."""
        with boot("omnibus", without_modules) as machine:
            wait_until(machine.bus_serves, "a bus with systemd on it")
            motd = machine.outside("/run/motd.d/omnibus")
            wait_until(lambda: motd.exists() and "does" in motd.read_text(), "the message of the day")
            assert "journalctl" in motd.read_text()
            assert "omnibusd can't serve" in machine.journal(
                "--unit=omnibus-fallback.service", "--priority=err"
            )

    def test_next_boot(self, boot) -> None:
        """The fallback lasts for one boot: a repaired omnibusd serves after the next."""
        with boot("omnibus", broken_own_file) as machine:
            wait_until(lambda: machine.bus() == "dbus-daemon", "the fallback")
            for name in ("system", "session"):
                machine.outside(f"/etc/omnibus/{name}.conf").unlink()
            machine.reboot()
            wait_until(machine.bus_serves, "a bus with systemd on it")
            assert machine.bus() == "omnibusd"


class TestRunning:
    """omnibusd has been ready in this boot."""

    def test_crash(self, boot) -> None:
        """A crash is not the fallback's: omnibusd is started again."""
        with boot("omnibus") as machine:
            wait_until(machine.bus_serves, "a bus with systemd on it")
            pid = machine.main_pid("dbus.service")
            crash(machine)
            wait_until(lambda: machine.main_pid("dbus.service") not in (0, pid), "another bus")
            wait_until(machine.bus_serves, "a bus with systemd on it")
            unit = "omnibus-fallback.service"
            wait_until(lambda: machine.property(unit, "ActiveState") == "inactive", "the end of the fallback")
            assert machine.bus() == "omnibusd"
            assert machine.property(unit, "Result") == "success"

    def test_start_limit(self, boot) -> None:
        """Where crash follows crash until systemd gives up, the other bus serves."""
        with boot("omnibus") as machine:
            wait_until(machine.bus_serves, "a bus with systemd on it")
            program_path = machine.outside("/usr/local/bin/omnibusd")
            program_path.unlink()
            program_path.write_text("#!/bin/sh\nexit 1\n")
            program_path.chmod(0o755)
            crash(machine)
            wait_until(lambda: machine.bus() == "dbus-daemon", "the other bus")
            wait_until(machine.bus_serves, "a bus with systemd on it")

    def test_both_fail(self, boot) -> None:
        """If the other bus can't serve either, each is tried a few times and no more."""
        with boot("omnibus") as machine:
            wait_until(machine.bus_serves, "a bus with systemd on it")
            machine.outside(LOCAL).write_text(BROKEN)
            crash(machine)
            unit = "omnibus-fallback.service"
            wait_until(lambda: machine.property(unit, "ActiveState") == "failed", "the end of the attempts")
            assert "Neither" in machine.journal(f"--unit={unit}")
            wait_until(lambda: machine.bus() == "", "the end of what its socket has started")
            assert int(machine.property("omnibus.service", "NRestarts")) <= 5
            machine.outside(LOCAL).unlink()
            machine.run("systemctl", "reset-failed", "dbus.service", "dbus.socket")
            machine.run("systemctl", "start", "dbus.socket", "dbus.service")
            wait_until(machine.bus_serves, "a bus with systemd on it")
