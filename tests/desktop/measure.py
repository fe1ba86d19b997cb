"""What is compared of two desktops: the buses' processes, the names on them, and the journals."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from desktop.machine import USER
from desktop.use import Desktop

from support.machine import COMMAND_DEADLINE, Machine

TICK = 1000 / os.sysconf("SC_CLK_TCK")  # milliseconds
ACCESSIBILITY = "--config-file=/usr/share/defaults/at-spi2/accessibility.conf"
BUSES = {"system": "--system", "session": "--session", "accessibility": ACCESSIBILITY}
QUIET = 3.0  # seconds without CPU time of any bus, after which a log-in is over
STEPS_OF_QUIET = 0.5

# What differs between two runs of the same daemon.
VARIABLE = (
    (re.compile(r"omnibusd|dbus-daemon"), "BUS"),
    (re.compile(r"omnibus\.service"), "dbus.service"),
    (re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{32}\b"), "HEX"),
    (re.compile(r"\d+"), "N"),
)
FAULT = re.compile(
    r"error|fail|denied|rejected|could not|cannot|can't|unable|timed out|critical|warning", re.I
)


@dataclass(frozen=True)
class Process:
    """The CPU time of a bus in milliseconds, and how often its main thread was woken.

    ``children``: of processes that it has started and waited for, in whole ticks.
    """

    own: float
    children: float
    wakeups: int


def _cmdline(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return [""]


def processes(machine: Machine) -> dict[str, int]:
    """Return the process of each bus, by its ID outside."""
    space = os.readlink(f"/proc/{machine.leader}/ns/pid")
    found: dict[str, int] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        arguments = _cmdline(pid)
        if "omnibus.daemon.main" not in arguments and not arguments[0].endswith("dbus-daemon"):
            continue
        try:
            inside = os.readlink(f"/proc/{pid}/ns/pid") == space
        except OSError:
            continue
        for bus, sign in BUSES.items():
            if inside and sign in arguments:
                found[bus] = int(pid)
    return found


def process(pid: int) -> Process:
    """Return what a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children_user, children_system = (int(one) for one in fields[13:15])
    status = Path(f"/proc/{pid}/task/{pid}/status").read_text()
    woken = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)
    assert woken
    children = (children_user + children_system) * TICK
    # The clock of clock_getcpuclockid(3): the ticks of stat would hide most of what a bus takes.
    own = time.clock_gettime_ns((~pid << 3) | 2) / 1e6
    return Process(own, children, int(woken[1]))


def when_quiet(machine: Machine) -> dict[str, Process]:
    """Wait until no bus has anything to do, and return what each has used."""
    end = time.monotonic() + COMMAND_DEADLINE
    since, before = time.monotonic(), None
    while True:
        now = {bus: process(pid) for bus, pid in processes(machine).items()}
        cpu = [one.own // TICK for one in now.values()]
        if cpu != before:
            since, before = time.monotonic(), cpu
        if len(now) == len(BUSES) and time.monotonic() - since >= QUIET:
            return now
        assert time.monotonic() < end, f"the buses are busy: {now}"
        time.sleep(STEPS_OF_QUIET)


def wakeups(machine: Machine, seconds: float) -> dict[str, int]:
    """Return how often the main thread of each bus is woken in that time."""
    pids = processes(machine)
    before = {bus: process(pid).wakeups for bus, pid in pids.items()}
    time.sleep(seconds)
    return {bus: process(pid).wakeups - before[bus] for bus, pid in pids.items()}


def names(desktop: Desktop) -> dict[str, list[str]]:
    """Return the well-known names on each bus, their numbers replaced."""
    bus = "org.freedesktop.DBus"
    call = ("--dest", bus, "--object-path", "/org/freedesktop/DBus", "--method", f"{bus}.ListNames")
    reply = desktop.call("org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus.GetAddress")
    address = reply.split("'")[1]
    found = {}
    for name, where in (("system", "--system"), ("session", "--session"), ("accessibility", address)):
        which = (where,) if where.startswith("--") else ("--address", where)
        listed = re.findall(r"'([^']*)'", desktop.user("gdbus", "call", *which, *call))
        # A process may have its own number in its name.
        found[name] = sorted({re.sub(r"\d\d+", "N", one) for one in listed if not one.startswith(":")})
    return found


def faults(machine: Machine) -> dict[str, str]:
    """Return the lines of the journal that tell of a fault, by what two runs have in common of them."""
    machine.run("journalctl", "--sync")
    fields = "--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER"
    found: dict[str, str] = {}
    for line in machine.output("journalctl", "--no-pager", "--output=json", fields).splitlines():
        entry = json.loads(line)
        text = f"{entry.get('SYSLOG_IDENTIFIER', '')}: {entry.get('MESSAGE', '')}"
        if int(entry.get("PRIORITY", 6)) > 3 and not FAULT.search(text):
            continue
        common = text
        for pattern, word in VARIABLE:
            common = pattern.sub(word, common)
        found.setdefault(common, text)
    return found


def start_times(machine: Machine) -> dict[str, float]:
    """Return the milliseconds from the start of each bus to its readiness, by systemd's clock."""
    found = {}
    for bus, options, user in (("system", (), "root"), ("session", ("--user",), USER)):
        # Not since ExecMainStart: a standby becomes the main process after the bus is ready.
        begin, ready = (
            int(machine.property("dbus.service", f"{one}TimestampMonotonic", *options, user=user))
            for one in ("InactiveExit", "ActiveEnter")
        )
        found[bus] = (ready - begin) / 1000
    return found
