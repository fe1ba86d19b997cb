"""Processes at the other end of connections: command and unit, as /proc has them."""

from __future__ import annotations

import os
import re

COMMAND = re.compile(r'comm="(.*?)"(?: label=|$)')


def command_of(login: str) -> str | None:
    """Return the program's name in what the bus has recorded of a connection: ``uid=0 comm="/sbin/init"``."""
    found = COMMAND.search(login)
    if found is None or not found[1]:
        return None
    return found[1].split(" ")[0].rpartition("/")[2] or found[1]


def command(pid: int) -> str | None:
    """Return the name of a process; None: it is gone, or hidden."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            return stream.read().rstrip("\n")
    except OSError:
        return None


def start_time(pid: int) -> int | None:
    """Return when a process has started, in the kernel's ticks since the boot; None: it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b") ")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def unit(pid: int) -> str | None:
    """Return the systemd unit of a process; None: it has none, or that is hidden."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
            path = stream.read().strip().rpartition("::")[2]
    except OSError:
        return None
    return unit_of(path, os.getuid())


def unit_of(cgroup: str, uid: int) -> str | None:
    """Return the unit of a cgroup's path as a user sees it: user@UID.service/UNIT of other users' managers.

    Below a unit of the system its own service may make cgroups of any name, as containers do, and a user
    below user@UID.service: such names must not pass for those of the system's units.
    """
    units = [part for part in cgroup.split("/") if part.endswith((".service", ".scope"))]
    if len(units) < 2 or not units[0].startswith("user@"):
        return units[0] if units else None
    return units[1] if units[0] == f"user@{uid}.service" else f"{units[0]}/{units[1]}"


def is_older_than(pid: int, age_us: float) -> bool:
    """Return False if the process is too young to have made a connection of this age: its pid was reused."""
    import time

    started = start_time(pid)
    if started is None:
        return False
    ticks = os.sysconf("SC_CLK_TCK")
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - started / ticks
    return age + 1.0 >= age_us / 1e6
