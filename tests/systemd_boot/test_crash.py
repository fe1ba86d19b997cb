"""The bus is killed, and has no standby. systemd and its services survive that with either bus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.guide import CHECKOUT
from support.machine import Machine, wait_until
from support.overlay import Overlay
from support.raw import Client, Closed
from support.services import DIRECT, UNIT, echo, owner_pid

USER = "tester"
SYSTEMD = "org.freedesktop.systemd1"
LOGIND = "org.freedesktop.login1"


@pytest.fixture
def machine(boot: Any, bus: str) -> Iterator[Machine]:
    """A machine of the test's own."""

    def change(overlay: Overlay) -> None:
        for scope in ("system", "user"):
            text = (CHECKOUT / f"systemd/{scope}/omnibus.service").read_text()
            overlay.write(f"/etc/systemd/{scope}/omnibus.service", text.replace(" --standby=on", ""))

    with boot(bus, change) as machine:
        wait_until(machine.outside(f"/run/user/{machine.uid(USER)}/bus").exists, "the bus of the user")
        yield machine


def kill(machine: Machine, *options: str, user: str = "root") -> int:
    """Kill the bus, wait until systemd has noticed, and return its old process ID."""
    pid = machine.main_pid("dbus.service", *options, user=user)
    machine.run("kill", "-KILL", str(pid))
    wait_until(lambda: machine.main_pid("dbus.service", *options, user=user) != pid, "the end of the bus")
    return pid


def units(machine: Machine) -> set[str]:
    """Return the running services."""
    lines = machine.output(
        "systemctl", "list-units", "--plain", "--no-legend", "--type=service", "--state=running"
    )
    return {line.split()[0].replace("omnibus.service", "dbus.service") for line in lines.splitlines()}


def names(machine: Machine) -> set[str]:
    """Return the well-known names with owners, as a new client sees them."""
    client = Client(machine.address())
    found = {name for name in client.driver("ListNames") if not name.startswith(":")}
    client.close()
    return found


def comes_back(machine: Machine, name: str) -> bool:
    """Return whether the owner of a name connects again to a bus that was killed, with either bus.

    systemd-logind ends and is started again, but that of 257 goes on without a bus.
    """
    version = int(machine.output("systemctl", "--version").split()[1])
    return name != LOGIND or version < 257


def restarts(machine: Machine, *options: str, user: str = "root") -> int:
    """Return how often systemd has started the bus again without a client's request."""
    return int(machine.property("dbus.service", "NRestarts", *options, user=user))


class TestSystemBus:
    def test_restarted(self, machine: Machine, bus: str) -> None:
        """Another bus is started at once, and systemd, logind and the tools work as before."""
        machine.run("loginctl", "list-sessions", user=USER)
        before = {name for name in names(machine) if comes_back(machine, name)}
        running = units(machine)
        client = Client(machine.address())
        pid = kill(machine)
        with pytest.raises(Closed):
            client.driver("GetId")
        client.close()
        if bus == "omnibus":
            wait_until(lambda: machine.main_pid("dbus.service") != 0, "another bus before any client of it")
            assert restarts(machine) == 1
        wait_until(lambda: names(machine) >= before, "the same names as before")
        assert machine.main_pid("dbus.service") not in (0, pid)
        wait_until(lambda: units(machine) == running, "the same services as before")
        assert "systemd-nspawn" in machine.output("hostnamectl", user=USER)
        assert machine.property("dbus.socket", "ActiveState", user=USER) == "active"
        if comes_back(machine, LOGIND):
            assert machine.run("loginctl", "list-sessions", user=USER).returncode == 0

    def test_systemd_survives(self, machine: Machine) -> None:
        """PID 1 and the user's manager are the same processes, reply, and start services."""
        manager = machine.main_pid(f"user@{machine.uid(USER)}.service")
        kill(machine)
        assert machine.output("systemctl", "is-active", "dbus.socket") == "active"
        assert machine.main_pid(f"user@{machine.uid(USER)}.service") == manager
        wait_until(lambda: SYSTEMD in names(machine), "systemd on the bus")
        for name in (UNIT, DIRECT):
            echo(machine, name, "system", USER)
        if comes_back(machine, LOGIND):
            wait_until(lambda: LOGIND in names(machine), "logind on the bus")

    def test_unit_survives(self, machine: Machine) -> None:
        """A service outlives the bus, unless it ends with its connection as this one does."""
        for name in (UNIT, DIRECT):
            echo(machine, name, "system", USER)
        direct = owner_pid(machine, DIRECT)
        kill(machine)
        wait_until(lambda: not machine.outside(f"/proc/{direct}").exists(), "the end of the service")

    def test_repeatedly(self, machine: Machine) -> None:
        """Three crashes within seconds do not exceed the start limit."""
        for _ in range(3):
            kill(machine)
            wait_until(lambda: SYSTEMD in names(machine), "systemd on the bus")
        if comes_back(machine, LOGIND):
            wait_until(lambda: LOGIND in names(machine), "logind on the bus")

    def test_power_off(self, machine: Machine) -> None:
        """The machine shuts down cleanly afterwards."""
        kill(machine)
        machine.power_off()


class TestUserBus:
    def test_restarted(self, machine: Machine, bus: str) -> None:
        """The user's manager stays alive, and another bus is started at once, with the manager on it."""
        machine.run("busctl", "--user", "list", user=USER)
        manager = machine.main_pid(f"user@{machine.uid(USER)}.service")
        pid = kill(machine, "--user", user=USER)
        if bus == "omnibus":
            wait_until(lambda: machine.main_pid("dbus.service", "--user", user=USER) != 0, "another bus")
            assert restarts(machine, "--user", user=USER) == 1
        wait_until(
            lambda: "org.freedesktop.systemd1" in machine.output("busctl", "--user", "list", user=USER),
            "the manager on the bus",
        )
        assert machine.main_pid("dbus.service", "--user", user=USER) not in (0, pid)
        assert machine.main_pid(f"user@{machine.uid(USER)}.service") == manager
        for name in (UNIT, DIRECT):
            echo(machine, name, "session", USER)
