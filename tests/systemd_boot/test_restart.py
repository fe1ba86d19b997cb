"""`systemctl restart` keeps the clients of the bus, `systemctl stop` ends their connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.machine import Machine, wait_until
from support.raw import Client
from support.services import UNIT, echo, owner_pid

from .test_standby import USER, Bus

MANAGER = "org.freedesktop.systemd1"
LOGIND = "org.freedesktop.login1"


@pytest.fixture
def machine(boot: Any) -> Iterator[Machine]:
    """A machine of the test's own."""
    with boot("omnibus") as machine:
        wait_until(machine.outside(f"/run/user/{machine.uid(USER)}/bus").exists, "the bus of the user")
        yield machine


def names(client: Client) -> set[str]:
    """Return the names on the bus but for those of the manager, which leaves the bus in a restart."""
    own = client.driver("GetNameOwner", "s", MANAGER)
    return {name for name in client.driver("ListNames") if name not in (MANAGER, own)}


def restart(bus: Bus, *units: str) -> None:
    pid, standby = bus.pid, bus.standby
    bus.machine.run("systemctl", *bus.options, "restart", *units or ["dbus.service"], user=bus.user)
    bus.check()
    assert bus.pid != pid
    assert bus.standby != standby


def has_manager(client: Client) -> bool:
    return bool(client.driver("NameHasOwner", "s", MANAGER))


class TestSystemBus:
    def test_restart(self, machine: Machine) -> None:
        """Clients, services and logind stay connected; systemd comes back by itself."""
        bus = Bus(machine)
        echo(machine, UNIT, "system", USER)
        machine.run("loginctl", "list-sessions", user=USER)
        client = Client(machine.address())
        service, logind = owner_pid(machine, UNIT), owner_pid(machine, LOGIND)
        before = names(client)
        for _ in range(3):  # StartLimitBurst= has five
            restart(bus)
            wait_until(lambda: has_manager(client), "systemd on the bus")
            assert before <= names(client)
            assert owner_pid(machine, UNIT) == service
            assert owner_pid(machine, LOGIND) == logind
        echo(machine, UNIT, "system", USER)
        assert machine.run("loginctl", "list-sessions", user=USER).returncode == 0
        assert "systemd-nspawn" in machine.output("hostnamectl", user=USER)
        bus.crash()
        client.driver("GetId")
        client.close()
        machine.power_off()

    def test_stop(self, machine: Machine) -> None:
        """Nothing is left of it, and the next start is one without clients."""
        bus = Bus(machine)
        client = Client(machine.address())
        assert bus.pid
        machine.run("systemctl", "stop", "dbus.socket", "dbus.service")
        client.expect_closed()
        assert bus.show("Result") == "success"
        machine.run("systemctl", "start", "dbus.socket", "dbus.service")
        wait_until(machine.bus_serves, "systemd on the bus")
        assert "Restarted" not in machine.journal("--unit=omnibus.service")

    def test_with_its_socket(self, machine: Machine) -> None:
        """The old socket is closed: a bus with connections to it would be reached by no other client."""
        bus = Bus(machine)
        client = Client(machine.address())
        assert bus.pid
        machine.run("systemctl", "restart", "dbus.socket", "dbus.service")
        client.expect_closed()
        wait_until(machine.bus_serves, "systemd on the bus")
        bus.check()


class TestUserBus:
    def test_restart(self, machine: Machine) -> None:
        """The session lives."""
        bus = Bus(machine, "--user", user=USER)
        echo(machine, UNIT, "session", USER)
        service = owner_pid(machine, UNIT, "--user", user=USER)
        for _ in range(3):
            restart(bus)
            assert owner_pid(machine, UNIT, "--user", user=USER) == service
            wait_until(
                lambda: MANAGER in machine.output("busctl", "--user", "list", user=USER), "the user's manager"
            )
        echo(machine, UNIT, "session", USER)
