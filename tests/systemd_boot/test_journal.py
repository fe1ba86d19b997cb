"""The log of a bus under systemd is in the journal, with searchable fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machine import Machine
from support.services import FAILS, echo, unit_of

USER = "tester"
BROKEN = "<busconfig>\n<policy>\n</policy>\n</busconfig>\n"


@pytest.fixture(scope="module")
def machine(boot) -> Iterator[Machine]:
    with boot("omnibus") as machine:
        yield machine


def entries(machine: Machine, *options: str) -> list[dict[str, str]]:
    """Return entries of the journal, the oldest first."""
    machine.run("journalctl", "--sync")
    text = machine.output("journalctl", "--output=json", "--unit=omnibus.service", *options)
    return [json.loads(line) for line in text.splitlines()]


def last(machine: Machine, text: str) -> dict[str, str]:
    """Return the newest entry with this text in its message."""
    return [entry for entry in entries(machine) if text in entry["MESSAGE"]][-1]


def test_denied(machine: Machine) -> None:
    """A denial names both peers; the policy of every distribution denies this to all users."""
    call = ["--system", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"]
    method = "org.freedesktop.DBus.Debug.Stats.GetStats"
    assert "AccessDenied" in machine.run("dbus-send", *call, method, user=USER, status=1).stderr
    entry = last(machine, "Rejected send message")
    assert entry["SYSLOG_IDENTIFIER"] == "omnibusd"
    assert entry["DBUS_DESTINATION"] == "org.freedesktop.DBus"
    assert entry["DBUS_SENDER"].startswith(":1.")
    assert Path(entry["CONFIG_FILE"]).name == "system.conf"
    assert int(entry["CONFIG_LINE"]) > 1
    assert entry["MESSAGE"].startswith("[system] ")
    assert f"(uid={machine.uid(USER)} " in entry["MESSAGE"]
    found = entries(machine, f"MESSAGE_ID={entry['MESSAGE_ID']}")
    assert found and all("Rejected" in one["MESSAGE"] for one in found)


def test_activation(machine: Machine) -> None:
    """A failed start is found by the service's name and by its unit."""
    echo(machine, FAILS, "system", USER, status=1)
    entry = last(machine, "Activation via systemd failed")
    assert entry["UNIT"] == unit_of(FAILS)
    assert last(machine, "Activating via systemd")["DBUS_SERVICE"] == FAILS


def test_broken_configuration(machine: Machine) -> None:
    """File and line are fields."""
    path = "/etc/dbus-1/system-local.conf"
    machine.outside(path).write_text(BROKEN)
    try:
        assert machine.run("systemctl", "reload", "omnibus.service", status=None).returncode != 0
    finally:
        machine.outside(path).unlink()
    entry = last(machine, "Unable to reload configuration")
    assert (entry["CONFIG_FILE"], entry["CONFIG_LINE"]) == (path, "2")
