"""omnibusctl on a booted machine: its units, the journal, and the names of units."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from support.machine import Machine, wait_until
from support.programs import Program
from support.raw import Client
from support.services import FAILS, UNIT, echo, unit_of

USER = "tester"
METRICS = "/run/omnibus/metrics"
LOCAL = "/etc/dbus-1/system-local.conf"
CAPTURE = "/var/log/omnibus/bus.pcapng"
LIMIT = 60
LIMITED = f'<busconfig><limit name="max_completed_connections">{LIMIT}</limit></busconfig>'


@pytest.fixture(scope="module")
def machine(boot) -> Iterator[Machine]:
    with boot("omnibus") as machine:
        wait_until(machine.bus_serves, "the bus with systemd on it")
        yield machine


def ctl(machine: Machine, *arguments: str, user: str = "root", status: int | None = 0) -> Any:
    """Run a verb, and return its data."""
    done = machine.run("omnibusctl", "--json", *arguments, user=user, status=status)
    return json.loads(done.stdout)["data"] if done.stdout else done.stderr


@pytest.fixture(scope="module")
def listening(machine: Machine) -> Iterator[None]:
    machine.run("systemctl", "start", "omnibus-metrics.socket")
    yield
    machine.run("systemctl", "stop", "omnibus-metrics.socket")


@pytest.mark.usefixtures("listening")
class TestMetrics:
    def read(self, machine: Machine) -> dict[str, float]:
        """Connect, and read to the end."""
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile() as stream:
            connection.settimeout(60)
            connection.connect(str(machine.outside(METRICS)))
            text = stream.read()
        assert text.endswith("\n# EOF\n"), machine.journal("--unit=omnibus-metrics@*")
        samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {
            name.replace('bus="system",', "").replace('bus="system"', ""): float(n) for name, _, n in samples
        }

    def test_socket(self, machine: Machine) -> None:
        """It is for root and the group adm."""
        status = machine.outside(METRICS).stat()
        assert stat.S_IMODE(status.st_mode) == 0o660
        assert (status.st_uid, status.st_gid) == (
            0,
            int(machine.output("getent", "group", "adm").split(":")[2]),
        )
        script = f"import socket; socket.socket(socket.AF_UNIX).connect({METRICS!r})"
        done = machine.run("/usr/bin/python3", "-c", script, user=USER, status=None)
        assert "PermissionError" in done.stderr

    def test_read(self, machine: Machine) -> None:
        found = self.read(machine)
        assert found["dbus_up{}"] == 1
        assert found["dbus_connections{}"] > 2
        assert found['omnibus_user_connections{uid="0"}'] > 1
        assert not any("omnibus_unit" in name for name in found)

    def test_units(self, machine: Machine) -> None:
        """A drop-in adds the sums by unit."""
        text = "[Service]\nExecStart=\nExecStart=/usr/local/bin/omnibusctl metrics --units\n"
        drop_in = machine.outside("/run/systemd/system/omnibus-metrics@.service.d/units.conf")
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(text)
        machine.run("systemctl", "daemon-reload")
        try:
            found = self.read(machine)
        finally:
            drop_in.unlink()
            drop_in.parent.rmdir()
            machine.run("systemctl", "daemon-reload")
        assert found['omnibus_unit_connections{unit="systemd-logind.service"}'] == 1

    def test_full_bus(self, machine: Machine) -> None:
        """All metrics are there when no client can connect any more."""
        before = self.read(machine)
        machine.outside(LOCAL).write_text(LIMITED)
        machine.run("systemctl", "reload", "omnibus.service")
        try:
            with contextlib.ExitStack() as stack:
                while True:
                    client = Client(machine.address(), hello=False)
                    stack.callback(client.close)
                    serial = client.start_call(
                        "org.freedesktop.DBus",
                        "Hello",
                        interface="org.freedesktop.DBus",
                        path="/org/freedesktop/DBus",
                    )
                    reply = client.receive()
                    assert reply.reply_serial == serial
                    if reply.error_name:
                        break
                assert reply.error_name == "org.freedesktop.DBus.Error.LimitsExceeded"
                assert "No buffer space" in machine.run("busctl", "list", status=None).stderr
                found = self.read(machine)
                problems = ctl(machine, "status", status=1)["problems"]
                assert f"limit: connections {LIMIT} of max_completed_connections {LIMIT}" in problems
        finally:
            machine.outside(LOCAL).unlink()
            machine.run("systemctl", "reload", "omnibus.service")
        assert before.keys() - found.keys() == set()
        assert found["dbus_connections{}"] == found["omnibus_connections_limit{}"] == LIMIT

    def test_no_bus_socket(self, machine: Machine) -> None:
        """The socket is its own unit's, and no client of the bus gets in there."""
        assert machine.property("omnibus-metrics.socket", "Triggers") == ""
        assert "omnibus-metrics" in machine.property("omnibus-metrics.socket", "FileDescriptorName")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(60)
            connection.connect(str(machine.outside(METRICS)))
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(b"\0AUTH EXTERNAL\r\n")
            assert connection.recv(10).startswith(b"# TYPE")


class TestCapture:
    def test_ring(self, machine: Machine) -> None:
        """It is written by the service, goes on over a restart, and only root reads it."""
        machine.run("systemctl", "start", "omnibus-capture.service")
        try:
            self.wait_for(machine, "FirstMember")
            machine.run("systemctl", "restart", "omnibus-capture.service")
            self.wait_for(machine, "SecondMember")
        finally:
            machine.run("systemctl", "stop", "omnibus-capture.service")
        assert machine.property("omnibus-capture.service", "Result") == "success"
        text = machine.output("omnibusctl", "capture", "read", CAPTURE)
        assert "FirstMember" in text and "SecondMember" in text
        directory = machine.outside("/var/log/omnibus")
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        files = sorted(directory.iterdir())
        assert [file.name for file in files] == ["bus.pcapng.1", "bus.pcapng.2"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        done = machine.run("omnibusctl", "capture", "read", CAPTURE, user=USER, status=1)
        assert "Permission denied" in done.stderr or "No such file" in done.stderr

    def wait_for(self, machine: Machine, member: str) -> None:
        """Call until the capture has it: a monitor takes a moment to become one."""

        def seen() -> bool:
            call = ["busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"]
            machine.run(*call, "org.freedesktop.systemd1.Manager", member, status=None)
            return member in machine.run("omnibusctl", "capture", "read", CAPTURE, status=None).stdout

        wait_until(seen, member)

    def test_killed(self, machine: Machine) -> None:
        """A capture that has ended by a fault begins again."""
        machine.run("systemctl", "start", "omnibus-capture.service")
        try:
            first = machine.main_pid("omnibus-capture.service")
            machine.run("kill", "-KILL", str(first))
            wait_until(
                lambda: machine.main_pid("omnibus-capture.service") not in (0, first), "another process"
            )
        finally:
            machine.run("systemctl", "stop", "omnibus-capture.service")

    def test_not_enabled(self, machine: Machine) -> None:
        for unit in ("omnibus-capture.service", "omnibus-metrics.socket"):
            assert machine.run("systemctl", "is-enabled", unit, status=None).stdout == "disabled\n"

    def test_verify(self, machine: Machine) -> None:
        units = ("omnibus-capture.service", "omnibus-metrics.socket", "omnibus-metrics@x.service")
        done = machine.run("systemd-analyze", "verify", "--man=no", *units)
        assert "omnibus" not in done.stderr


class TestJournal:
    """The log of the system's bus is that of the journal."""

    def events(self, machine: Machine, *options: str) -> list[dict[str, Any]]:
        machine.run("journalctl", "--sync")
        text = machine.output("omnibusctl", "--json", "log", *options)
        return [json.loads(line) for line in text.splitlines()]

    def deny(self, machine: Machine) -> None:
        call = ["--system", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"]
        machine.run("dbus-send", *call, "org.freedesktop.DBus.Debug.Stats.GetStats", user=USER, status=1)

    def test_denied(self, machine: Machine) -> None:
        """With the place of the rule, and also what is older than the bus remembers."""
        self.deny(machine)
        entry = self.events(machine, "--kind=denied")[-1]
        assert entry["place"].rpartition(":")[0].endswith("system.conf")
        assert f"(uid={machine.uid(USER)} " in entry["text"]

    def test_kinds(self, machine: Machine) -> None:
        echo(machine, FAILS, "system", USER, status=1)
        machine.run("systemctl", "reload", "omnibus.service")
        found = self.events(machine)
        assert any(one["kind"] == "start" and unit_of(FAILS) in one["text"] for one in found)
        assert any(one["kind"] == "reload" for one in found)

    def test_times(self, machine: Machine) -> None:
        self.deny(machine)
        assert self.events(machine, "--since=2001-01-01", "--until=2001-01-02") == []
        assert self.events(machine, "--since=1h", "--until=0s", "--kind=denied")

    def test_stranger(self, machine: Machine) -> None:
        """The journal decides what a user may read of it."""
        self.deny(machine)
        done = machine.run("omnibusctl", "log", user=USER, status=None)
        assert "Rejected" not in done.stdout
        assert done.returncode in (0, 4)

    def test_why_last(self, machine: Machine) -> None:
        """The hint names a file of policies and the user."""
        self.deny(machine)
        (found,) = ctl(machine, "why", "--last", status=1)
        assert found["denial"]["header"]["member"] == "GetStats"

    def test_log_level(self, machine: Machine) -> None:
        """Debian's policy lets every user ask for properties of the bus: it refuses this one itself."""
        assert ctl(machine, "log-level") == {"level": "info"}
        assert "rejected attempt" in machine.run("omnibusctl", "log-level", "err", user=USER, status=4).stderr
        try:
            assert ctl(machine, "log-level", "warning") == {"level": "warning"}
            before = len(self.events(machine, "--kind=denied"))
            self.deny(machine)
            assert len(self.events(machine, "--kind=denied")) == before
        finally:
            ctl(machine, "log-level", "info")


class TestUnits:
    def test_list(self, machine: Machine) -> None:
        units = {one["unit"] for one in ctl(machine, "list")}
        assert {"systemd-logind.service", "init.scope"} <= units

    def test_by_unit(self, machine: Machine) -> None:
        rows = {one["unit"]: one for one in ctl(machine, "list", "--by=unit")}
        assert rows["systemd-logind.service"]["connections"] == 1

    def test_top(self, machine: Machine) -> None:
        text = machine.output("omnibusctl", "top", "--once", "-d", "0.2")
        assert " systemd-logind.service " in text

    def test_graph(self, machine: Machine) -> None:
        """Nodes are names, processes and units."""
        listening = Program(machine.enter("omnibusctl", "graph", "-t", "3", "--dot"), os.environ)
        try:
            while listening.process.poll() is None:
                echo(machine, UNIT, "system", USER)
            text = listening.read_all()
        finally:
            listening.stop()
        boxes = [one for one in text.splitlines() if f'"{UNIT}\\ndbus-test-tool[' in one]
        assert len(boxes) == 1, text
        assert f'\\n{unit_of(UNIT)}"];' in boxes[0]
        # All callers are one box, since each has ended.
        assert text.count('[label="dbus-send"];') == 1
