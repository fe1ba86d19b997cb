"""A real desktop on both buses: logs in, uses it, logs out, and compares.

    run.py [--runs=N] [--keep=DIRECTORY]

A fresh account logs in to XFCE on Xvfb, in a container that systemd boots over a Debian root in the cache,
with the system, session and accessibility bus of dbus-daemon and then of omnibus. Root only;
`make desktop-test`. The exit status is 0 if every step works with both, the same names are on the buses, the
journal tells of no fault that it does not tell of with dbus-daemon, and the three buses take at most LIMIT
times its CPU time for the log-in.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.append(str(CHECKOUT / "tests"))

from desktop.machine import Machines, prepared_root  # noqa: E402
from desktop.measure import BUSES, Process, faults, names, start_times, wakeups, when_quiet  # noqa: E402
from desktop.use import Desktop  # noqa: E402

LIMIT = 2.0  # times the CPU time of dbus-daemon for the log-in
IDLE = 20.0  # seconds
DAEMONS = ("dbus-daemon", "omnibus")


@dataclass(frozen=True)
class Result:
    """What was seen in one run."""

    times: dict[str, float]
    log_in: dict[str, Process]
    woken: dict[str, int]
    used: dict[str, Process]
    ready: dict[str, float]
    names: dict[str, list[str]]
    faults: dict[str, str]

    def cpu(self, bus: str) -> float:
        """The milliseconds of a bus for the log-in, its start and that of its children included."""
        return self.log_in[bus].own + self.log_in[bus].children

    @property
    def cpu_of_all(self) -> float:
        return sum(self.cpu(bus) for bus in BUSES)


def run(machines: Machines, daemon: str, keep: Path) -> Result:
    """Use a desktop from log-in to log-out; the screenshot and the journal are stored."""
    with machines.boot(daemon) as machine:
        desktop = Desktop(machine)
        try:
            desktop.step("log-in", desktop.log_in)
            log_in = when_quiet(machine)
            woken = wakeups(machine, IDLE)
            desktop.step("notification", desktop.notify)
            desktop.step("file manager", desktop.manage_files)
            desktop.step("portal", desktop.ask_portal)
            desktop.step("editor", desktop.edit)
            desktop.step("media player", desktop.play)
            used = when_quiet(machine)
            desktop.photograph(keep / f"{daemon}.png")
            ready = start_times(machine)
            listed = names(desktop)
            desktop.step("log-out", desktop.log_out)
            found = faults(machine)
        finally:
            (keep / f"{daemon}.journal").write_text(machine.journal("--lines=all"))
    return Result(desktop.times, log_in, woken, used, ready, listed, found)


def table(results: dict[str, list[Result]]) -> str:
    """Return what was measured, the medians of all runs."""

    def row(what: str, value: object, digits: int = 0) -> str:
        reference, ours = (
            statistics.median(value(one) for one in results[daemon])  # type: ignore[operator]
            for daemon in DAEMONS
        )
        ratio = f"{ours / reference:.2f}" if reference else "-"
        return f"| {what} | {reference:.{digits}f} | {ours:.{digits}f} | {ratio} |"

    lines = ["| | dbus-daemon | omnibus | ratio |", "|---|---:|---:|---:|"]
    for bus in BUSES:
        lines.append(row(f"CPU for the log-in, {bus} bus, ms", lambda one, bus=bus: one.cpu(bus)))
    lines.append(row("CPU for the log-in, three buses, ms", lambda one: one.cpu_of_all))
    lines.append(
        row(
            "CPU from there to the end of the use, three buses, ms",
            lambda one: sum(one.used[bus].own - one.log_in[bus].own for bus in BUSES),
        )
    )
    for bus in ("system", "session"):
        lines.append(row(f"start of the {bus} bus, ms", lambda one, bus=bus: one.ready[bus]))
    lines.append(row(f"wake-ups in {IDLE:.0f} s, main threads", lambda one: sum(one.woken.values())))
    for step in results[DAEMONS[0]][0].times:
        lines.append(row(f"{step}, s", lambda one, step=step: one.times[step], 1))
    return "\n".join(lines)


def differences(results: dict[str, list[Result]]) -> list[str]:
    """Return what omnibus does that dbus-daemon does not, and the reverse for names."""
    reference, ours = (results[daemon] for daemon in DAEMONS)
    found = []
    for bus in BUSES:
        theirs = set().union(*(one.names[bus] for one in reference))
        own = set().union(*(one.names[bus] for one in ours))
        found += [f"{bus} bus: nothing owns {name}" for name in sorted(theirs - own)]
        found += [f"{bus} bus: only with omnibus something owns {name}" for name in sorted(own - theirs)]
    known = {common for one in reference for common in one.faults}
    new = {common: text for one in ours for common, text in one.faults.items() if common not in known}
    found += [f"journal, only with omnibus: {text}" for text in new.values()]
    ratio = statistics.median(one.cpu_of_all for one in ours) / statistics.median(
        one.cpu_of_all for one in reference
    )
    if ratio > LIMIT:
        found.append(f"the log-in takes {ratio:.2f} times dbus-daemon's CPU time, and {LIMIT} are allowed")
    return found


def main() -> int:
    """Run, print the table and what differs; return 1 if anything does."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=CHECKOUT / "build/desktop")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[Result]] = {daemon: [] for daemon in DAEMONS}
    machines = Machines(prepared_root())
    try:
        for _ in range(options.runs):
            for daemon in DAEMONS:
                print(f"==== {daemon}", flush=True)
                results[daemon].append(run(machines, daemon, options.keep))
    finally:
        machines.close()
    text = table(results)
    failures = differences(results)
    (options.keep / "table.md").write_text(f"{text}\n")
    print(text)
    print("\n".join(f"FAILED: {one}" for one in failures) or "the same names, and no fault of its own")
    print(f"screenshots and journals: {options.keep}")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
