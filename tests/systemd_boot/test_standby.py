"""The bus crashes, and its standby goes on with all clients; systemd sees only another main process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.machine import Machine, wait_until
from support.overlay import Overlay
from support.raw import Client
from support.services import DIRECT, UNIT, echo, owner_pid

USER = "tester"
STANDBY = "omnibus-standby"
WATCHDOG = "[Service]\nWatchdogSec=3\n"


@pytest.fixture
def machine(boot: Any) -> Iterator[Machine]:
    """A machine of the test's own, whose bus has to report to systemd every three seconds."""

    def change(overlay: Overlay) -> None:
        overlay.write("/etc/systemd/system/omnibus.service.d/watchdog.conf", WATCHDOG)

    with boot("omnibus", change) as machine:
        wait_until(machine.outside(f"/run/user/{machine.uid(USER)}/bus").exists, "the bus of the user")
        yield machine


class Bus:
    """The system's bus, or the user's."""

    def __init__(self, machine: Machine, *options: str, user: str = "root") -> None:
        self.machine = machine
        self.options = options
        self.user = user

    def show(self, name: str) -> str:
        return self.machine.property("dbus.service", name, *self.options, user=self.user)

    @property
    def standby(self) -> int:
        """The main process of the unit, once it is a standby."""
        return int(wait_until(self._standby, "a standby"))

    def _standby(self) -> int:
        pid = int(self.show("MainPID"))
        comm = self.machine.outside(f"/proc/{pid}/comm")
        return pid if comm.exists() and comm.read_text().strip() == STANDBY else 0

    @property
    def pid(self) -> int:
        """The bus itself, whose child the standby is."""
        status = self.machine.outside(f"/proc/{self.standby}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("PPid:"))

    def crash(self, number: str = "KILL") -> None:
        standby, pid = self.standby, self.pid
        self.machine.run("kill", f"-{number}", str(pid))
        wait_until(lambda: not self.machine.outside(f"/proc/{pid}").exists(), "the end of the bus")
        wait_until(lambda: self.pid == standby, "the next bus")

    def upgrade(self, n: int) -> None:
        """Upgrade it for the n-th time."""
        self.machine.run("kill", "-USR2", str(self.pid))
        wait_until(lambda: self.machine.journal().count("Upgraded from omnibus") == n, "an upgrade")

    def check(self) -> None:
        """systemd has seen neither an end nor a start."""
        assert self.show("ActiveState") == "active"
        assert self.show("SubState") == "running"
        assert self.show("NRestarts") == "0"


class TestSystemBus:
    def test_crashes(self, machine: Machine) -> None:
        """Clients, services and systemd itself stay connected, and the unit stays active."""
        bus = Bus(machine)
        for name in (UNIT, DIRECT):
            echo(machine, name, "system", USER)
        direct = owner_pid(machine, DIRECT)
        client = Client(machine.address())
        before = sorted(client.driver("ListNames"))
        since = bus.show("ActiveEnterTimestampMonotonic")
        for number in ("KILL", "SEGV", "KILL"):
            bus.crash(number)
            assert sorted(client.driver("ListNames")) == before
            bus.check()
        assert bus.show("ActiveEnterTimestampMonotonic") == since
        assert owner_pid(machine, DIRECT) == direct
        for name in (UNIT, DIRECT):
            echo(machine, name, "system", USER)
        assert "systemd-nspawn" in machine.output("hostnamectl", user=USER)
        assert machine.run("loginctl", "list-sessions", user=USER).returncode == 0
        client.close()

    def test_the_watchdog_goes_on(self, machine: Machine) -> None:
        """The successor reports, too: systemd does not end it."""
        bus = Bus(machine)
        client = Client(machine.address())
        bus.crash()
        reports: set[str] = set()

        def four_reports() -> bool:
            reports.add(bus.show("WatchdogTimestampMonotonic"))
            return len(reports) > 4

        wait_until(four_reports, "reports")
        client.driver("GetId")
        bus.check()
        client.close()

    def test_a_killed_standby(self, machine: Machine) -> None:
        """The bus makes another, which is the main process then."""
        bus = Bus(machine)
        client = Client(machine.address())
        pid, standby = bus.pid, bus.standby
        machine.run("kill", "-KILL", str(standby))
        wait_until(lambda: bus.standby != standby, "another standby")
        assert bus.pid == pid
        bus.crash()
        client.driver("GetId")
        bus.check()
        client.close()

    def test_an_upgrade(self, machine: Machine) -> None:
        """It needs no restart, and there is a standby afterwards."""
        bus = Bus(machine)
        client = Client(machine.address())
        pid = bus.pid
        for n in (1, 2):
            bus.upgrade(n)
            assert bus.pid == pid
            bus.check()
        bus.crash()
        client.driver("GetId")
        bus.upgrade(3)
        client.driver("GetId")
        bus.check()
        client.close()

    def test_the_end(self, machine: Machine) -> None:
        """`systemctl stop` ends both, and in good order; the machine shuts down."""
        bus = Bus(machine)
        standby, pid = bus.standby, bus.pid
        machine.run("systemctl", "stop", "dbus.service", status=None)
        wait_until(lambda: bus.show("ActiveState") == "inactive", "the end of the unit")
        assert bus.show("Result") == "success"
        assert not machine.outside(f"/proc/{pid}").exists()
        assert not machine.outside(f"/proc/{standby}").exists()
        machine.power_off()


class TestUserBus:
    def test_crashes(self, machine: Machine) -> None:
        """The session lives: the user's manager and its services stay connected."""
        bus = Bus(machine, "--user", user=USER)
        for name in (UNIT, DIRECT):
            echo(machine, name, "session", USER)
        before = machine.output("busctl", "--user", "list", "--no-legend", user=USER)
        for number in ("KILL", "SEGV"):
            bus.crash(number)
            after = machine.output("busctl", "--user", "list", "--no-legend", user=USER)
            assert {line.split()[0] for line in before.splitlines() if line[0] != ":"} <= {
                line.split()[0] for line in after.splitlines()
            }
            bus.check()
        for name in (UNIT, DIRECT):
            echo(machine, name, "session", USER)
