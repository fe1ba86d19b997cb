"""The units of omnibus: their properties hold on a booted machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.freeze import frozen
from support.guide import follow
from support.machine import Machine, wait_until
from support.raw import Client
from support.services import ABSENT, DIRECT, FAILS, KILLED, UNIT, echo, owner_pid, transient_units

from .test_standby import Bus

USER = "tester"
DROP_IN = "/etc/systemd/system/omnibus.service.d/test.conf"
IMPATIENT = "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=20s\n"


@pytest.fixture(scope="module")
def machine(boot) -> Iterator[Machine]:
    """A machine with omnibus and a short watchdog interval."""
    with boot("omnibus", lambda overlay: overlay.write(DROP_IN, IMPATIENT)) as machine:
        yield machine


class TestUnits:
    @pytest.mark.parametrize("options", [(), ("--user",)])
    def test_verify(self, machine: Machine, options: tuple[str, ...]) -> None:
        """systemd-analyze reports nothing about them."""
        user = USER if options else "root"
        done = machine.run("systemd-analyze", "verify", "--man=no", *options, "omnibus.service", user=user)
        assert "omnibus" not in done.stderr

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Type", "notify"),
            ("OOMScoreAdjust", "-900"),
            ("OOMPolicy", "continue"),
            ("LimitNOFILE", "524288"),
            ("LimitNOFILESoft", "1024"),
            ("Names", "omnibus.service dbus.service"),
            ("StatusText", "Serving unix:path=/run/dbus/system_bus_socket"),
        ],
    )
    def test_property(self, machine: Machine, name: str, value: str) -> None:
        assert sorted(machine.property("omnibus.service", name).split()) == sorted(value.split())

    def test_early(self, machine: Machine) -> None:
        """Units ordered after basic.target are ordered after the bus."""
        assert {"basic.target", "shutdown.target"} <= set(
            machine.property("omnibus.service", "Before").split()
        )
        assert "dbus.socket" in machine.property("omnibus.service", "After").split()

    def test_many_descriptors(self, machine: Machine) -> None:
        """The bus's own limit of descriptors is that of the unit, or of the machine."""
        text = machine.outside(f"/proc/{machine.main_pid('dbus.service')}/limits").read_text()
        line = next(line for line in text.splitlines() if line.startswith("Max open files"))
        soft, hard = line.split()[3:5]
        assert soft == hard != "1024"

    def test_tmpfiles(self, machine: Machine) -> None:
        """The file is parsed without errors, also beside the distribution's."""
        done = machine.run("systemd-tmpfiles", "--create", "omnibus.conf", "dbus.conf")
        assert "omnibus.conf" not in done.stderr


class TestWatchdog:
    """WatchdogSec=2s."""

    def test_alive(self, machine: Machine) -> None:
        """The bus sends keep-alives repeatedly, and keeps running."""
        pid = machine.main_pid("omnibus.service")

        def last() -> int:
            return int(machine.property("omnibus.service", "WatchdogTimestampMonotonic"))

        first = last()
        wait_until(lambda: last() - first > 5_000_000, "a sign of life after five seconds")
        assert machine.main_pid("omnibus.service") == pid

    def test_alive_under_load(self, machine: Machine) -> None:
        """Neither a failed activation nor a reload delays the keep-alives."""
        pid = machine.main_pid("omnibus.service")
        for _ in range(3):
            echo(machine, FAILS, "system", USER, status=1)
            machine.run("systemctl", "reload", "omnibus.service")
        assert machine.main_pid("omnibus.service") == pid

    def test_hangs(self, machine: Machine) -> None:
        """A hung bus is killed with its standby, the journal shows where it hung, and another is started."""
        bus = Bus(machine)
        standby, pid = bus.standby, bus.pid
        client = Client(machine.address())
        machine.run("kill", "-STOP", str(pid))
        client.expect_closed()
        client.close()
        wait_until(lambda: machine.main_pid("omnibus.service") != standby, "the end of the bus")
        wait_until(machine.bus_serves, "another bus with systemd on it")
        journal = machine.journal("--unit=omnibus.service")
        assert "Watchdog timeout" in journal
        assert "Fatal Python error: Aborted" in journal
        assert "daemon/serve.py" in journal

    def test_data_plane_hangs(self, machine: Machine) -> None:
        """A hang of either plane is detected."""
        wait_until(machine.bus_serves, "the bus")
        bus = Bus(machine)
        standby = bus.standby
        _, *others = machine.threads(bus.pid)
        assert others
        with frozen(others):
            wait_until(lambda: machine.main_pid("omnibus.service") != standby, "the end of the bus")
        wait_until(machine.bus_serves, "another bus with systemd on it")


def process_status(machine: Machine, pid: int) -> dict[str, str]:
    """Return /proc/PID/status of a process of the machine."""
    lines = machine.outside(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def test_launch_helper(boot) -> None:
    """Services without a unit are started by our helper where dbus-daemon's is missing."""
    with boot("omnibus") as machine:
        machine.run("rm", "/usr/lib/dbus-1.0/dbus-daemon-launch-helper")
        assert "Spawn" in echo(machine, DIRECT, "system", USER, status=1).stderr
        follow(machine, "helper")
        echo(machine, DIRECT, "system", USER)
        process = machine.outside(f"/proc/{owner_pid(machine, DIRECT)}")
        assert process.stat().st_uid == machine.uid(USER)


@pytest.fixture(scope="module")
def sandboxed(boot) -> Iterator[Machine]:
    """A machine with the unit as it is."""
    with boot("omnibus") as machine:
        yield machine


class TestSandbox:
    """The bus of the system is in a sandbox, and its services are not."""

    def test_serves(self, sandboxed: Machine) -> None:
        """Everything that systemd starts works, and so do reloads."""
        sandboxed.run("systemctl", "reload", "dbus.service")
        assert "systemd-nspawn" in sandboxed.output("hostnamectl", user=USER)
        echo(sandboxed, UNIT, "system", USER)
        assert sandboxed.output("systemctl", "is-system-running") == "running"
        assert "Spawn.Failed" in echo(sandboxed, FAILS, "system", USER, status=1).stderr

    def test_few_privileges(self, sandboxed: Machine) -> None:
        """The bus can neither change its user nor write files."""
        pid = sandboxed.main_pid("dbus.service")
        status = process_status(sandboxed, pid)
        assert status["NoNewPrivs"] == "1"
        assert int(status["CapEff"], 16) & ~(1 << 29) == 0  # CAP_AUDIT_WRITE
        mounts = sandboxed.outside(f"/proc/{pid}/mountinfo").read_text()
        root = next(line for line in mounts.splitlines() if line.split()[4] == "/")
        assert "ro" in root.split()[5].split(",")

    def test_service_without_a_unit(self, sandboxed: Machine) -> None:
        """systemd starts the launch helper for it, outside of the sandbox, as the user of the bus."""
        echo(sandboxed, DIRECT, "system", USER)
        pid = owner_pid(sandboxed, DIRECT)
        (unit,) = transient_units(sandboxed, DIRECT)
        assert sandboxed.main_pid(unit) == pid
        assert sandboxed.property(unit, "User") == str(sandboxed.uid("messagebus"))
        status = process_status(sandboxed, pid)
        assert status["Uid"].split() == [str(sandboxed.uid(USER))] * 4
        assert status["NoNewPrivs"] == "0"
        assert status["CapBnd"] == process_status(sandboxed, 1)["CapBnd"]
        mine = sandboxed.outside(f"/proc/{pid}/ns/mnt").readlink()
        assert mine == sandboxed.outside("/proc/1/ns/mnt").readlink()
        assert sandboxed.outside(f"/proc/{pid}/oom_score_adj").read_text() == "0\n"

    def test_service_that_fails(self, sandboxed: Machine) -> None:
        """The errors are those of the helper."""
        assert "Spawn.ChildSignaled" in echo(sandboxed, KILLED, "system", USER, status=1).stderr
        assert "Spawn.ExecFailed" in echo(sandboxed, ABSENT, "system", USER, status=1).stderr

    def test_drop_in(self, sandboxed: Machine) -> None:
        """An administrator's settings for a service without a unit are those of its template."""
        directory = sandboxed.outside(f"/etc/systemd/system/dbus-{DIRECT}@.service.d")
        directory.mkdir()
        (directory / "nice.conf").write_text("[Service]\nNice=5\n")
        sandboxed.run("systemctl", "daemon-reload")
        sandboxed.run("systemctl", "stop", f"dbus-{DIRECT}@*")
        echo(sandboxed, DIRECT, "system", USER)
        (unit,) = transient_units(sandboxed, DIRECT)
        assert sandboxed.property(unit, "Nice") == "5"
