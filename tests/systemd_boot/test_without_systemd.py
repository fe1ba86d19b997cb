"""docs/using/replacing.md, without systemd: from one bus to another and back under other init systems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.guide import CHECKOUT, commands, follow
from support.machine import Machine, running, wait_until
from support.overlay import Overlay
from support.packages import download, unpack
from support.raw import Client, Closed

PIDFILE = "/run/dbus/pid"
RUNSVDIR = "mkdir -p /run/service; ln -s /etc/sv/dbus /run/service/; exec runsvdir -P /run/service"
DBUS_RUN = """#!/bin/sh
install -d -o messagebus /run/dbus
exec dbus-daemon --system --nofork --nopidfile
"""
# As on distributions with OpenRC.
DBUS_OPENRC = """#!/sbin/openrc-run
command=/usr/bin/dbus-daemon
command_args=--system
pidfile=/run/dbus/pid
start_pre() {
	checkpath --directory --owner messagebus /run/dbus
}
stop() {
	start-stop-daemon --stop --retry 5 --pidfile "$pidfile"
}
"""


def need(*names: str) -> list[Path]:
    """Return packages, or skip the test."""
    try:
        return download(names)
    except LookupError as error:
        pytest.skip(f"no packages {names}: {error}")


def processes(machine: Machine) -> list[str]:
    """Return the names of the running processes."""
    return machine.output("ps", "-e", "-o", "comm=").splitlines()


def programs(machine: Machine) -> list[str]:
    """Return the running buses by the names of their processes."""
    return [name for name in processes(machine) if name in ("dbus-daemon", "omnibusd")]


def serves(machine: Machine) -> bool:
    """Call the system's bus."""
    try:
        client = Client(machine.address())
    except (OSError, Closed):
        return False
    names = client.driver("ListNames")
    client.close()
    return "org.freedesktop.DBus" in names


def reloads(machine: Machine, reload: Callable[[], object]) -> None:
    """Check that a client outlives a reload and is notified of it."""
    client = Client(machine.address())
    client.match("type='signal',member='ActivatableServicesChanged'")
    reload()
    client.expect(member="ActivatableServicesChanged")
    client.close()


class TestSysvinit:
    """The script in /etc/init.d of Debian's package dbus."""

    @pytest.fixture
    def machine(self, tmp_root: Callable[[], Overlay]) -> Iterator[Machine]:
        if not Path("/etc/init.d/dbus").exists():
            pytest.skip("no /etc/init.d/dbus on this machine")
        overlay = tmp_root()
        overlay.remove("/sbin/init")  # systemd, here
        with running(overlay, [f"{CHECKOUT}:/checkout"], ("--as-pid2", "sleep", "infinity")) as machine:
            yield machine

    def test_switch_and_undo(self, machine: Machine) -> None:
        script = "/etc/init.d/dbus"
        machine.run(script, "start")
        assert programs(machine) == ["dbus-daemon"]
        machine.run(script, "stop")
        follow(machine, "switch")
        machine.run(script, "start")
        assert programs(machine) == ["omnibusd"]
        assert serves(machine)
        machine.run(script, "status")
        reloads(machine, lambda: machine.run(script, "reload"))
        machine.run(script, "restart")
        assert serves(machine)
        machine.run(script, "stop")
        assert programs(machine) == []
        assert not machine.outside(PIDFILE).exists()
        follow(machine, "switch-back")
        machine.run(script, "start")
        assert programs(machine) == ["dbus-daemon"]


class TestOpenRC:
    """A booted OpenRC."""

    @pytest.fixture
    def machine(self, tmp_root: Callable[[], Overlay]) -> Iterator[Machine]:
        packages = need("openrc", "librc1", "libeinfo1")
        overlay = tmp_root()
        unpack(overlay, packages)
        overlay.remove("/etc/init.d/dbus")
        overlay.write("/etc/init.d/dbus", DBUS_OPENRC, 0o755)
        for level in ("sysinit", "boot", "default", "shutdown"):
            overlay.path(f"/etc/runlevels/{level}").mkdir(parents=True, exist_ok=True)
        overlay.path("/etc/runlevels/default/dbus").symlink_to("/etc/init.d/dbus")
        with running(overlay, [f"{CHECKOUT}:/checkout"], ("/sbin/openrc-init",)) as machine:
            status = ("rc-service", "dbus", "status")
            wait_until(lambda: machine.run(*status, status=None).returncode == 0, "the bus")
            wait_until(lambda: "openrc" not in processes(machine), "the end of the boot")
            assert programs(machine) == ["dbus-daemon"]
            yield machine

    def test_switch_and_undo(self, machine: Machine) -> None:
        """The service keeps its name and its runlevel."""
        machine.run("rc-service", "dbus", "stop")
        follow(machine, "switch")
        machine.run("openrc", "default")
        assert programs(machine) == ["omnibusd"]
        assert serves(machine)
        machine.run("rc-service", "dbus", "status")
        reloads(machine, lambda: machine.run("rc-service", "dbus", "reload"))
        machine.run("rc-service", "dbus", "restart")
        assert serves(machine)
        machine.run("rc-service", "dbus", "stop")
        assert programs(machine) == []
        assert not machine.outside(PIDFILE).exists()
        follow(machine, "switch-back")
        machine.run("openrc", "default")
        assert programs(machine) == ["dbus-daemon"]

    def test_while_the_other_runs(self, machine: Machine) -> None:
        """Our script stops a bus that the other one has started, so that the machine shuts down cleanly."""
        follow(machine, "switch")
        machine.run("rc-service", "dbus", "restart")
        assert programs(machine) == ["omnibusd"]

    def test_killed(self, machine: Machine) -> None:
        """The remains of a killed bus don't prevent the next start."""
        follow(machine, "switch")
        machine.run("rc-service", "dbus", "restart")
        pid = machine.outside(PIDFILE).read_text()
        machine.run("kill", "-KILL", pid.strip())
        wait_until(lambda: programs(machine) == [], "the end of the bus")
        machine.run("rc-service", "dbus", "restart")
        assert serves(machine)
        assert machine.outside(PIDFILE).read_text() != pid

    def test_another_bus(self, machine: Machine) -> None:
        """While another bus runs, ours doesn't start, and keeps the other's pid file."""
        machine.run("install", "-m755", "/checkout/docs/examples/openrc/dbus", "/etc/init.d/another")
        pid = machine.outside(PIDFILE).read_text()
        assert machine.run("rc-service", "another", "start", status=None).returncode != 0
        assert machine.outside(PIDFILE).read_text() == pid
        assert programs(machine) == ["dbus-daemon"]


class TestRunit:
    """Services under runsvdir."""

    @pytest.fixture
    def machine(self, tmp_root: Callable[[], Overlay]) -> Iterator[Machine]:
        packages = need("runit")
        overlay = tmp_root()
        unpack(overlay, packages)
        overlay.write("/etc/sv/dbus/run", DBUS_RUN, 0o755)
        with running(overlay, [f"{CHECKOUT}:/checkout"], ("--as-pid2", "sh", "-c", RUNSVDIR)) as machine:
            wait_until(lambda: programs(machine) == ["dbus-daemon"], "the bus that runit starts")
            yield machine

    def restart(self, machine: Machine, block: str) -> None:
        """Follow the guide, check that the running bus stays what it is, and restart the service."""
        before = programs(machine)
        machine.run("sh", "-euc", "export SERVICES=/run/service\n" + commands(block))
        assert programs(machine) == before
        machine.run("sv", "-w", "20", "restart", "/run/service/dbus")

    def test_switch_and_undo(self, machine: Machine) -> None:
        self.restart(machine, "switch")
        wait_until(lambda: serves(machine), "the bus")
        machine.run("sv", "-w", "20", "check", "/run/service/dbus")
        assert programs(machine) == ["omnibusd"]
        reloads(machine, lambda: machine.run("sv", "hup", "/run/service/dbus"))
        machine.run("sh", "-c", "kill -KILL $(cat /run/service/dbus/supervise/pid)")
        wait_until(lambda: serves(machine), "another bus after the first was killed")
        self.restart(machine, "switch-back")
        wait_until(lambda: programs(machine) == ["dbus-daemon"], "the bus that there was before")
        assert sorted(path.name for path in machine.outside("/etc/sv/dbus").iterdir()) == ["run", "supervise"]
