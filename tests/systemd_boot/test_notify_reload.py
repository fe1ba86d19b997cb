"""drop-ins/notify-reload.conf, and the units without it, under a systemd that supports notify-reload."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from support.guide import follow
from support.machine import Machine
from support.overlay import Overlay
from support.packages import download, unpack
from support.raw import BusError, Client
from support.services import UNIT, echo

from .conftest import BASE

USER = "tester"
FIRST = 253
PACKAGES = ("systemd", "libsystemd-shared", "libsystemd0", "libpam-systemd", "libnss-systemd")
RULES = "/etc/dbus-1/system.d/org.example.test.conf"
RULE = '<busconfig><policy user="root"><{} own="org.example.Denied"/></policy></busconfig>\n'


def version() -> int:
    """Return the release of the machines' systemd."""
    command = ["chroot", BASE, "systemctl", "--version"]
    text = subprocess.run(command, capture_output=True, text=True).stdout
    found = re.match(r"systemd (\d+)", text)
    return int(found[1]) if found else 0


@pytest.fixture(scope="module")
def machine(boot) -> Iterator[Machine]:
    """A machine with a recent enough systemd."""

    def change(overlay: Overlay) -> None:
        if version() < FIRST:
            try:
                unpack(overlay, download(PACKAGES, backports=True))
            except LookupError as error:
                pytest.skip(f"no systemd {FIRST} or newer: {error}")

    with boot("omnibus", change) as machine:
        yield machine


def test_unit(machine: Machine) -> None:
    """The unit without the drop-in works and reloads."""
    assert int(re.match(r"systemd (\d+)", machine.output("systemctl", "--version"))[1]) >= FIRST
    assert machine.property("dbus.service", "Type") == "notify"
    assert "systemd-nspawn" in machine.output("hostnamectl", user=USER)
    echo(machine, UNIT, "system", USER)
    machine.run("systemctl", "reload", "dbus.service")
    assert machine.output("systemctl", "is-system-running") == "running"


def test_verify(machine: Machine) -> None:
    """systemd-analyze reports nothing about units or drop-in."""
    follow(machine, "systemd-notify-reload")
    done = machine.run("systemd-analyze", "verify", "--man=no", "omnibus.service")
    assert "omnibus" not in done.stderr


def test_reload(machine: Machine) -> None:
    """The signal reloads, and the command returns when the new policy is in force."""
    follow(machine, "systemd-notify-reload")
    assert machine.property("dbus.service", "Type") == "notify-reload"
    pid = machine.main_pid("dbus.service")
    client = Client(machine.address())
    for _ in range(3):
        machine.outside(RULES).write_text(RULE.format("deny"))
        machine.run("systemctl", "reload", "dbus.service")
        with pytest.raises(BusError, match="AccessDenied"):
            client.driver("RequestName", "su", "org.example.Denied", 0)
        machine.outside(RULES).write_text(RULE.format("allow"))
        machine.run("systemctl", "reload", "dbus.service")
        assert client.driver("RequestName", "su", "org.example.Denied", 0) == 1
        client.driver("ReleaseName", "s", "org.example.Denied")
    client.close()
    machine.run("systemctl", "reload", "dbus.service")  # no change of a file causes this one
    assert machine.main_pid("dbus.service") == pid
    assert machine.property("dbus.service", "ActiveState") == "active"


def test_invalid_configuration(machine: Machine) -> None:
    """An invalid configuration ends the reload too; the status shows the error until it is fixed."""
    follow(machine, "systemd-notify-reload")
    broken = machine.outside("/etc/dbus-1/system-local.conf")
    broken.write_text("<busconfig>\n<nothing>\n</busconfig>\n")
    machine.run("systemctl", "reload", "dbus.service")
    assert "system-local.conf" in machine.property("dbus.service", "StatusText")
    assert machine.property("dbus.service", "ActiveState") == "active"
    broken.unlink()
    machine.run("systemctl", "reload", "dbus.service")
    status = machine.property("dbus.service", "StatusText")
    assert status == "Serving unix:path=/run/dbus/system_bus_socket"
