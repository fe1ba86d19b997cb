"""`systemctl reload dbus.service` on a machine in use."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from support.machine import Machine
from support.raw import PEER, BusError, Client
from support.services import UNIT, echo, unit_of

USER = "tester"
UNITS = {"dbus-daemon": "dbus.service", "omnibus": "omnibus.service"}
CLIENTS = 8
RELOADS = 10
RULES = "/etc/dbus-1/system.d/org.example.test.conf"
DENY = '<busconfig><policy context="default"><deny own="org.example.Denied"/></policy></busconfig>\n'
BROKEN = '<busconfig>\n<policy context="default">\n<deny own=/>\n</policy></busconfig>\n'


class Pinger:
    """A client that calls the bus and a service in turn without pause until it is stopped."""

    def __init__(self, machine: Machine) -> None:
        self.client = Client(machine.address())
        self.calls = 0
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.client.driver("GetNameOwner", "s", "org.freedesktop.systemd1")
                self.client.call("org.freedesktop.systemd1", "Ping", path="/", interface=PEER)
                self.calls += 2
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """Stop it, and raise its exception if it had one."""
        self._stop.set()
        self._thread.join()
        self.client.close()
        if self.error:
            raise self.error


@pytest.fixture
def rules(machine: Machine) -> Iterator[str]:
    """A configuration file that doesn't exist yet; without it the configuration is as before."""
    yield RULES
    machine.outside(RULES).unlink(missing_ok=True)
    machine.run("systemctl", "reload", "dbus.service")


class TestReload:
    def test_under_load(self, machine: Machine) -> None:
        """No client loses its connection or a reply."""
        pid = machine.main_pid("dbus.service")
        pingers = [Pinger(machine) for _ in range(CLIENTS)]
        before = [pinger.calls for pinger in pingers]
        for _ in range(RELOADS):
            machine.run("systemctl", "reload", "dbus.service")
        after = [pinger.calls for pinger in pingers]
        for pinger in pingers:
            pinger.stop()
        assert all(one < other for one, other in zip(before, after, strict=True))
        assert machine.property("dbus.service", "ActiveState") == "active"
        assert machine.main_pid("dbus.service") == pid

    def test_policy(self, machine: Machine, rules: str) -> None:
        """When the command has returned, the new policy is in force for existing connections."""
        client = Client(machine.address())
        denied = '<busconfig><policy user="root"><deny own="org.example.Denied"/></policy></busconfig>\n'
        allowed = denied.replace("deny", "allow")
        machine.outside(rules).write_text(denied)
        machine.run("systemctl", "reload", "dbus.service")
        with pytest.raises(BusError, match="AccessDenied"):
            client.driver("RequestName", "su", "org.example.Denied", 0)
        machine.outside(rules).write_text(allowed)
        machine.run("systemctl", "reload", "dbus.service")
        assert client.driver("RequestName", "su", "org.example.Denied", 0) == 1
        client.close()

    def test_new_service(self, machine: Machine) -> None:
        """A service with a new file can be started."""
        directory = machine.outside("/usr/share/dbus-1/system-services")
        text = (directory / f"{UNIT}.service").read_text()
        new = directory / "org.example.New.service"
        new.write_text(text.replace(UNIT, "org.example.New").replace(unit_of(UNIT), "test-new.service"))
        unit = machine.outside(f"/etc/systemd/system/{unit_of(UNIT)}").read_text()
        machine.outside("/etc/systemd/system/test-new.service").write_text(
            unit.replace(UNIT, "org.example.New")
        )
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "reload", "dbus.service")
        echo(machine, "org.example.New", "system", USER)
        new.unlink()

    def test_invalid_configuration(self, machine: Machine, bus: str, rules: str) -> None:
        """An invalid file fails the command and changes nothing; the old policy stays in force."""
        main = machine.outside("/etc/dbus-1/system-local.conf")
        client = Client(machine.address())
        # The order matters, because both files are watched.
        main.write_text(BROKEN)
        machine.outside(rules).write_text(DENY)
        try:
            assert machine.run("systemctl", "reload", "dbus.service", status=None).returncode != 0
            assert client.driver("RequestName", "su", "org.example.Denied", 0) == 1
            assert machine.property("dbus.service", "ActiveState") == "active"
            where = "Error in file /etc/dbus-1/system-local.conf, line 3"
            assert where in machine.journal(f"--unit={UNITS[bus]}")
            if bus == "omnibus":
                assert where in machine.property("dbus.service", "StatusText")
        finally:
            main.unlink()
        client.close()

    def test_user(self, machine: Machine) -> None:
        """The user's bus reloads the same way."""
        machine.run("busctl", "--user", "list", user=USER)
        pid = machine.main_pid("dbus.service", "--user", user=USER)
        machine.run("systemctl", "--user", "reload", "dbus.service", user=USER)
        assert machine.main_pid("dbus.service", "--user", user=USER) == pid
