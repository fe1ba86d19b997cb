"""The bus of a booted system, in use by systemd and its tools."""

from __future__ import annotations

import os
import re
import time

import pytest

from support.machine import Machine, wait_until
from support.programs import Program
from support.raw import Client
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
ERROR = "org.freedesktop.DBus.Error."
PROGRAMS = {"dbus-daemon": "dbus-daemon", "omnibus": "omnibusd"}
UNITS = {"dbus-daemon": "dbus.service", "omnibus": "omnibus.service"}


class TestService:
    """The unit behind the name dbus.service."""

    def test_unit(self, machine: Machine, bus: str) -> None:
        assert machine.property("dbus.service", "Id") == UNITS[bus]
        assert machine.property("dbus.service", "ActiveState") == "active"

    def test_program(self, machine: Machine, bus: str) -> None:
        """The process is the expected one, and does not run as root."""
        process = machine.outside(f"/proc/{machine.main_pid('dbus.service')}")
        assert machine.bus() == PROGRAMS[bus]
        assert process.stat().st_uid == machine.uid("messagebus")

    def test_socket(self, machine: Machine) -> None:
        """The distribution's socket unit listens on the bus's socket."""
        assert machine.property("dbus.socket", "ActiveState") == "active"
        client = Client(machine.address())
        assert "org.freedesktop.systemd1" in client.driver("ListNames")
        client.close()

    def test_everything_started(self, machine: Machine) -> None:
        assert machine.output("systemctl", "is-system-running") == "running"


class TestTools:
    """Programs that come with systemd, as an unprivileged user, because root's bypass the bus."""

    def test_systemctl(self, machine: Machine) -> None:
        assert machine.property("dbus.socket", "Listen", user=USER) == "/run/dbus/system_bus_socket (Stream)"
        assert "dbus.socket" in machine.output("systemctl", "list-units", user=USER)

    def test_systemctl_refused(self, machine: Machine) -> None:
        """A request that needs more privileges is denied by the service, not lost."""
        done = machine.run(
            "systemctl", "--no-ask-password", "stop", "systemd-logind.service", user=USER, status=None
        )
        assert done.returncode != 0
        assert "authentication required" in done.stderr

    def test_loginctl(self, machine: Machine) -> None:
        """pam_systemd registers a session over the bus, and its user sees it."""
        properties = ["--property=PAMName=login", f"--property=User={USER}"]
        machine.run("systemd-run", "--quiet", "--unit=test-session", *properties, "sleep", "infinity")

        def sessions() -> str:
            return machine.output("loginctl", "--no-legend", "list-sessions", user=USER)

        session, _, name = wait_until(sessions, "a session").split()[:3]
        assert name == USER
        assert machine.output("loginctl", "show-session", "--value", "-p", "Name", session) == USER
        machine.run("systemctl", "stop", "test-session.service")
        assert "Linger=yes" in machine.output("loginctl", "show-user", USER, user=USER)

    def test_busctl_list(self, machine: Machine) -> None:
        listed = {
            line.split()[0]: line for line in machine.output("busctl", "list", "--no-legend").splitlines()
        }
        assert listed["org.freedesktop.systemd1"].split()[1:4] == ["1", "systemd", "root"]
        assert "systemd-logind.service" in listed["org.freedesktop.login1"]

    def test_busctl_status(self, machine: Machine) -> None:
        """busctl shows what the bus knows about a client."""
        status = machine.output("busctl", "status", "org.freedesktop.login1").splitlines()
        assert f"PID={machine.main_pid('systemd-logind.service')}" in status
        assert "Unit=systemd-logind.service" in status

    def test_busctl_introspect(self, machine: Machine) -> None:
        tree = machine.output("busctl", "tree", "--list", "org.freedesktop.login1", user=USER)
        assert "/org/freedesktop/login1" in tree.splitlines()
        methods = machine.output(
            "busctl", "introspect", "org.freedesktop.DBus", "/org/freedesktop/DBus", user=USER
        )
        assert ".GetNameOwner" in methods

    @pytest.mark.parametrize(
        ("tool", "says"),
        [
            (("busctl", "monitor"), "Destination=org.freedesktop.hostname1 "),
            (("dbus-monitor", "--system"), "destination=org.freedesktop.hostname1 "),
        ],
    )
    def test_monitor(self, machine: Machine, tool: tuple[str, ...], says: str) -> None:
        """Root sees messages between a user and a service."""
        monitor = Program(machine.enter(*tool), os.environ)
        try:
            monitor.read_until(says, lambda: machine.run("hostnamectl", user=USER))
        finally:
            monitor.stop()

    def test_monitor_refused(self, machine: Machine) -> None:
        """Other users do not."""
        done = machine.run("busctl", "monitor", user=USER, status=None)
        assert done.returncode != 0
        assert "denied" in done.stderr.lower()

    def test_dbus_send(self, machine: Machine) -> None:
        """The reference's own client."""
        call = [
            "--system",
            "--print-reply=literal",
            "--dest=org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
        ]
        answer = machine.output("dbus-send", *call, "org.freedesktop.DBus.Peer.GetMachineId", user=USER)
        assert answer.strip() == machine.outside("/etc/machine-id").read_text().strip()


class TestActivation:
    """systemd starts services that are called."""

    @pytest.mark.parametrize(
        ("tool", "says", "unit"),
        [
            ("hostnamectl", "systemd-nspawn", "systemd-hostnamed.service"),
            ("timedatectl", "Universal time", "systemd-timedated.service"),
            ("localectl", "System Locale", "systemd-localed.service"),
        ],
    )
    def test_tools(self, machine: Machine, tool: str, says: str, unit: str) -> None:
        machine.run("systemctl", "stop", unit)
        assert says in machine.output(tool, user=USER)
        assert machine.property(unit, "ActiveState") == "active"

    def test_change(self, machine: Machine) -> None:
        """A call that changes something arrives with the credentials of its sender."""
        machine.run("hostnamectl", "--static", "set-hostname", "test-machine")
        assert machine.outside("/etc/hostname").read_text() == "test-machine\n"
        done = machine.run("hostnamectl", "--no-ask-password", "set-hostname", "evil", user=USER, status=None)
        assert done.returncode != 0
        assert machine.outside("/etc/hostname").read_text() == "test-machine\n"

    def test_unit(self, machine: Machine) -> None:
        """A service with a unit of its own is that unit."""
        echo(machine, UNIT, "system", USER)
        assert owner_pid(machine, UNIT) == machine.main_pid(unit_of(UNIT)) != 0

    def test_direct(self, machine: Machine) -> None:
        """A service without a unit is started by the helper, as the user that its file names."""
        echo(machine, DIRECT, "system", USER)
        process = machine.outside(f"/proc/{owner_pid(machine, DIRECT)}")
        assert process.stat().st_uid == machine.uid(USER)
        limits = (process / "limits").read_text()
        assert re.search(r"^Max open files +1024 ", limits, re.MULTILINE)

    def test_missing_unit(self, machine: Machine) -> None:
        """systemd reports that there is no such unit, and the caller gets the error at once."""
        done = echo(machine, MISSING, "system", USER, status=1)
        assert "not found" in done.stderr
        assert "org.freedesktop.systemd1.NoSuchUnit" in done.stderr


class TestFailedPrograms:
    """Services without a unit that fail: their errors are those of the reference."""

    @pytest.mark.parametrize(
        ("name", "error"),
        [
            (EXITS, "Spawn.ConfigInvalid: Invalid configuration (missing or empty <user>?)"),
            (KILLED, f"Spawn.ChildSignaled: Process {KILLED} received signal 9"),
            (ABSENT, "Spawn.ExecFailed: Cannot launch daemon, file not found or permissions invalid"),
        ],
    )
    def test_error(self, machine: Machine, name: str, error: str) -> None:
        """The launch helper's exit codes are the bus's only source, also when they are the program's."""
        assert echo(machine, name, "system", USER, status=1).stderr.strip() == f"Error {ERROR}{error}"

    def test_nothing_is_left(self, machine: Machine) -> None:
        """systemd forgets the units of programs that have ended."""
        echo(machine, EXITS, "system", USER, status=1)
        wait_until(lambda: not transient_units(machine, EXITS), "the end of a unit")
        assert machine.output("systemctl", "is-system-running") == "running"


class TestFailedActivation:
    """A failed unit is reported at once. The reference lets the caller wait for the time-out."""

    @pytest.fixture(autouse=True)
    def only_ours(self, bus: str) -> None:
        if bus == "dbus-daemon":
            pytest.skip("the reference waits for service_start_timeout")

    @pytest.mark.parametrize("name", [FAILS, CONDITION])
    def test_failing_unit(self, machine: Machine, name: str) -> None:
        before = time.monotonic()
        done = echo(machine, name, "system", USER, status=1)
        assert "org.freedesktop.DBus.Error.Spawn.Failed" in done.stderr
        assert time.monotonic() - before < 15
