#!/usr/bin/env python3
"""Takes the buses of a desktop over while it is used, and checks that no program notices.

An account logs in with dbus-daemon as the bus of the system, of the session and of accessibility tools.
omnibus-takeover makes each of them omnibusd, and ``omnibusctl upgrade --all`` upgrades those of the system
and of the session. Every connection keeps its name, no process ends, and then all is done with the desktop
that ``run.py`` does, to the log-out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
sys.path.append(str(CHECKOUT / "tests"))

from desktop.machine import USER, Machines, prepared_root  # noqa: E402
from desktop.measure import processes  # noqa: E402
from desktop.use import Desktop  # noqa: E402

from support.machine import Machine, wait_until  # noqa: E402

TOOL = "/checkout/build/takeover/omnibus-takeover"
PROGRAM = "/usr/local/bin/omnibusd"
CONTROL = "/usr/local/bin/omnibusctl"
SERVICES = ("systemd-logind", "polkit", "NetworkManager")
EDITOR = "featherpad"  # of Qt; the desktop itself is of GTK
Owners = dict[str, dict[str, str]]


def owners(machine: Machine, desktop: Desktop) -> Owners:
    """Return the owner of each name of each bus, without the program that asks and those that end anyway."""
    reply = desktop.call("org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus.GetAddress")
    found: Owners = {}
    for bus, which in (
        ("system", "--system"),
        ("session", "--user"),
        ("accessibility", "--address=" + reply.split("'")[1]),
    ):
        listed = machine.output("busctl", which, "--json=short", "--acquired", "--unique", "list", user=USER)
        rows = [row for row in json.loads(listed) if row["process"] not in ("busctl", *ENDING)]
        found[bus] = {row["name"]: row["connection"] for row in rows}
    return found


def commands(machine: Machine) -> dict[int, str]:
    """Return the processes of the machine, by their IDs outside, without those that we have started there."""
    space = os.readlink(f"/proc/{machine.leader}/ns/pid")
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") == space:
                found[int(pid)] = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
    return found


def inner(pid: int) -> str:
    """Return the ID that a process has inside."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("NSpid:"))
    return line.split()[-1]


def take_over(machine: Machine, bus: str, pid: int) -> str:
    """Make the bus omnibusd; return what the tool says about it."""
    uid = machine.uid(USER)
    which = {"system": "--system", "session": f"--user={uid}"}.get(bus, inner(pid))
    text = machine.output(TOOL, f"--program={PROGRAM}", "--patience=30", which)
    assert b"omnibus.daemon.main" in Path(f"/proc/{pid}/cmdline").read_bytes(), text
    return text


def start_programs(desktop: Desktop) -> None:
    """Start a player, a program of another toolkit than the desktop's, and services of the system bus."""
    for service in SERVICES:
        desktop.machine.run("systemctl", "start", service)
    desktop.step("media player", desktop.play)
    desktop.start(EDITOR)
    desktop.wait_for_window(EDITOR)


def compare(before: Owners, after: Owners) -> list[str]:
    """Return the names that have another owner, or none. Services may come, and end when they are unused."""
    return [
        f"{bus} bus: {name} was {owner}'s, and is {after[bus].get(name, 'gone')}"
        for bus, names in before.items()
        for name, owner in names.items()
        if after[bus].get(name) != owner
    ]


def use(desktop: Desktop, machine: Machine) -> None:
    """Do what needs each of the buses."""
    desktop.step("notification", desktop.notify)
    desktop.step("file manager", desktop.manage_files)
    desktop.step("portal", desktop.ask_portal)
    desktop.step("editor", desktop.edit)
    desktop.user("playerctl", "--player=mpv", "play")
    wait_until(lambda: desktop.user("playerctl", "--player=mpv", "status") == "Playing", "the player")
    assert desktop.windows(EDITOR)
    assert machine.output("nmcli", "general", "status")
    machine.run("loginctl", "list-sessions")
    machine.run("pkcheck", "--action-id", "org.freedesktop.login1.reboot", "--process", "1")


def run(machines: Machines, keep: Path) -> list[str]:
    """Take a desktop's buses over, and upgrade them; return what is wrong."""
    with machines.boot("dbus-daemon") as machine:
        desktop = Desktop(machine)
        try:
            desktop.step("log-in", desktop.log_in)
            start_programs(desktop)
            buses = wait_until(lambda: len(found := processes(machine)) == 3 and found, "three buses")
            before, running = owners(machine, desktop), commands(machine)
            begin = time.monotonic()
            for bus, pid in buses.items():
                print(take_over(machine, bus, pid).strip().splitlines()[-1], flush=True)
            print(f"all in {time.monotonic() - begin:.1f} s", flush=True)
            wrong = compare(before, owners(machine, desktop))
            print(machine.output(CONTROL, "upgrade", "--all"), flush=True)
            wrong += compare(before, owners(machine, desktop))
            ended = running.keys() - commands(machine).keys()
            wrong += [f"{running[pid]} has ended" for pid in ended if running[pid] not in PASSING]
            assert processes(machine) == buses
            use(desktop, machine)
            desktop.photograph(keep / "takeover.png")
            desktop.step("log-out", desktop.log_out)
        finally:
            (keep / "takeover.journal").write_text(machine.journal("--lines=all"))
    return wrong


ENDING = ("nm-dispatcher",)
"""Services of the bus that end some seconds after their last task."""

PASSING = ("systemctl", "gdbus", "env", "setpriv", "nsenter", "sh", "sleep", "(sd-pam)", "kworker", *ENDING)
"""Those, and commands of this test, which may end meanwhile."""


def main() -> int:
    """Run; return 1 if anything was noticed."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=CHECKOUT / "build/desktop")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    machines = Machines(prepared_root())
    wrong: list[str] = []
    try:
        for number in range(options.runs):
            print(f"==== {number + 1} of {options.runs}", flush=True)
            wrong += run(machines, options.keep)
    finally:
        machines.close()
    print(
        "\n".join(f"FAILED: {one}" for one in wrong)
        or f"{options.runs} takeovers of three buses, nothing noticed"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
