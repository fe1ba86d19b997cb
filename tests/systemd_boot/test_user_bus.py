"""The bus of a user, started by the user's systemd."""

from __future__ import annotations

import re
import time

import pytest

from support.machine import Machine, wait_until
from support.services import (
    ABSENT,
    CONDITION,
    DIRECT,
    EXITS,
    FAILS,
    KILLED,
    MISSING,
    UNIT,
    echo,
    owner_pid,
    transient_units,
    unit_of,
)

USER = "tester"
PROGRAMS = {"dbus-daemon": "dbus-daemon", "omnibus": "omnibusd"}
UNITS = {"dbus-daemon": "dbus.service", "omnibus": "omnibus.service"}


def environment(machine: Machine, pid: int) -> dict[str, str]:
    """Return the environment that a process was started with."""
    text = machine.outside(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(entry.split("=", 1) for entry in text.split("\0") if entry)


class TestService:
    """The unit behind the name dbus.service, in the user's manager."""

    def test_starts_on_demand(self, machine: Machine, bus: str) -> None:
        """The first client starts it, at the standard address."""
        assert "org.freedesktop.systemd1" in machine.output("busctl", "--user", "list", user=USER)
        assert machine.property("dbus.service", "Id", "--user", user=USER) == UNITS[bus]
        assert machine.property("dbus.service", "ActiveState", "--user", user=USER) == "active"
        assert machine.property("dbus.service", "Slice", "--user", user=USER) == "session.slice"

    def test_program(self, machine: Machine, bus: str) -> None:
        """The process is the expected one, and runs as the user."""
        machine.run("busctl", "--user", "list", user=USER)
        process = machine.outside(f"/proc/{machine.main_pid('dbus.service', '--user', user=USER)}")
        assert machine.bus("--user", user=USER) == PROGRAMS[bus]
        assert process.stat().st_uid == machine.uid(USER)


class TestManager:
    """The user's systemd is connected to the bus."""

    def test_call(self, machine: Machine) -> None:
        manager = [
            "org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager",
        ]
        unit = machine.output("busctl", "--user", "call", *manager, "GetUnit", "s", "dbus.socket", user=USER)
        assert "dbus_2esocket" in unit

    def test_systemctl(self, machine: Machine) -> None:
        assert machine.output("systemctl", "--user", "is-system-running", user=USER) == "running"

    def test_run(self, machine: Machine) -> None:
        """systemd-run starts a unit and waits for its end, which is reported by a signal."""
        done = machine.run(
            "systemd-run", "--user", "--wait", "--quiet", "sh", "-c", "exit 7", user=USER, status=7
        )
        assert done.returncode == 7


class TestActivation:
    """Services of the user's bus."""

    def test_unit(self, machine: Machine) -> None:
        echo(machine, UNIT, "session", USER)
        pid = machine.main_pid(unit_of(UNIT), "--user", user=USER)
        assert owner_pid(machine, UNIT, "--user", user=USER) == pid != 0

    def test_direct(self, machine: Machine) -> None:
        """A service without a unit is started by the bus, with its address and the usual limits."""
        echo(machine, DIRECT, "session", USER)
        pid = owner_pid(machine, DIRECT, "--user", user=USER)
        found = environment(machine, pid)
        assert found["DBUS_STARTER_BUS_TYPE"] == "session"
        assert found["DBUS_STARTER_ADDRESS"].startswith(f"unix:path=/run/user/{machine.uid(USER)}/bus")
        limits = machine.outside(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max open files +1024 ", limits, re.MULTILINE)

    def test_variables_for_the_bus_only(self, machine: Machine) -> None:
        """systemd's variables for the bus aren't inherited: a service would answer the bus's watchdog."""
        echo(machine, DIRECT, "session", USER)
        found = environment(machine, owner_pid(machine, DIRECT, "--user", user=USER))
        assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"} & set(found)

    def test_unit_of_its_own(self, machine: Machine, bus: str) -> None:
        """omnibusd has it started by the user's systemd, so that it is not a part of the bus's own unit."""
        if bus == "dbus-daemon":
            pytest.skip("the reference has children")
        echo(machine, DIRECT, "session", USER)
        pid = owner_pid(machine, DIRECT, "--user", user=USER)
        (unit,) = transient_units(machine, DIRECT, "--user", user=USER)
        assert machine.main_pid(unit, "--user", user=USER) == pid
        assert machine.property(unit, "Slice", "--user", user=USER) == "app.slice"

    @pytest.mark.parametrize(
        ("name", "error"),
        [
            (EXITS, f"Spawn.ChildExited: Process {EXITS} exited with status 3"),
            (KILLED, f"Spawn.ChildSignaled: Process {KILLED} received signal 9"),
            (ABSENT, f"Spawn.ExecFailed: Failed to execute program {ABSENT}: No such file or directory"),
        ],
    )
    def test_failing_program(self, machine: Machine, name: str, error: str) -> None:
        """The errors are the reference's, and systemd forgets the unit."""
        done = echo(machine, name, "session", USER, status=1)
        assert done.stderr.strip() == f"Error org.freedesktop.DBus.Error.{error}"
        wait_until(lambda: not transient_units(machine, name, "--user", user=USER), "the end of a unit")

    def test_missing_unit(self, machine: Machine) -> None:
        assert (
            "org.freedesktop.systemd1.NoSuchUnit" in echo(machine, MISSING, "session", USER, status=1).stderr
        )

    @pytest.mark.parametrize("name", [FAILS, CONDITION])
    def test_failing_unit(self, machine: Machine, bus: str, name: str) -> None:
        if bus == "dbus-daemon":
            pytest.skip("the reference waits for service_start_timeout")
        before = time.monotonic()
        assert (
            "org.freedesktop.DBus.Error.Spawn.Failed" in echo(machine, name, "session", USER, status=1).stderr
        )
        assert time.monotonic() - before < 15


class TestEnvironment:
    """UpdateActivationEnvironment, as called at the start of a session."""

    def test_update(self, machine: Machine) -> None:
        """It reaches the user's manager, and the services that either starts from then on."""
        for name in (DIRECT, UNIT):
            echo(machine, name, "session", USER)
            pid = owner_pid(machine, name, "--user", user=USER)
            machine.run("kill", str(pid))
            process = machine.outside(f"/proc/{pid}")
            wait_until(lambda process=process: not process.exists(), "the end of a service")
        machine.run("dbus-update-activation-environment", "--systemd", "FROM_SESSION=yes", user=USER)
        assert (
            "FROM_SESSION=yes"
            in machine.output("systemctl", "--user", "show-environment", user=USER).splitlines()
        )
        for name in (DIRECT, UNIT):
            echo(machine, name, "session", USER)
            pid = owner_pid(machine, name, "--user", user=USER)
            assert environment(machine, pid)["FROM_SESSION"] == "yes"
