"""Compare D-Bus daemons: all cases, interleaved, medians and ratios.

    .venv/bin/python -m omnibus.bench.compare                all installed daemons
    ... --cases bystander --rounds 3 --cpus 1 --nice -10     some cases, with less noise
    ... --daemon 'mine=mybus --config {config}'              another daemon beside them

See README.md beside this.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from . import busbench
from .cases import FLOORS, GROUPS, MULTICASTS, chosen
from .daemons import BROKER, COMMANDS, Daemon, installed, version
from .machine import Quiet, description, favour
from .progress import say
from .report import Report
from .settings import WIDE, Setting
from .syscalls import SYSCALL_GROUPS, count


class Fleet:
    """Every daemon, once for each configuration in use."""

    def __init__(self, commands: dict[str, str], directory: Path) -> None:
        self._commands = commands
        self._directory = directory
        self._daemons: dict[tuple[str, Setting], Daemon] = {}

    def get(self, name: str, setting: Setting) -> Daemon:
        """Return the daemon, started."""
        daemon = self._daemons.get((name, setting))
        if daemon is None:
            directory = self._directory / f"{name.replace('/', '_')}.{setting.name}"
            daemon = Daemon(name, self._commands[name], setting, directory)
            self._daemons[name, setting] = daemon
        return daemon

    def stop(self) -> None:
        """End all."""
        for daemon in self._daemons.values():
            daemon.stop()


class Comparison:
    """One run of the comparison."""

    def __init__(self, arguments: argparse.Namespace, commands: dict[str, str], fleet: Fleet) -> None:
        self.arguments = arguments
        self.names = list(commands)
        self.fleet = fleet
        self.groups = [name for name in chosen(arguments.cases) if name != "memory"]
        self.floors = [] if arguments.no_floors else list(FLOORS)
        self.quiet = Quiet(arguments.wait_idle)
        self.results = busbench.Results()

    def run(self) -> None:
        """Measure everything."""
        if "memory" in chosen(self.arguments.cases):
            self.measure_memory()
        for number in range(self.arguments.rounds):
            say(f"round {number + 1} of {self.arguments.rounds}, load {os.getloadavg()[0]:.2f}")
            self.round(number)
        if self.arguments.syscalls:
            self.count_syscalls()

    def measure_memory(self) -> None:
        """Measure memory before the daemons have done any work."""
        for name in self.names:
            self.results.add(name, busbench.run([*self.bus(self.fleet.get(name, WIDE)), "memory"]))

    def round(self, number: int) -> None:
        """Run all cases once; each round begins with another daemon."""
        seconds = ["--seconds", str(self.arguments.seconds)]
        for group in self.groups:
            for k in range(len(self.names)):
                self.measure(self.names[(k + number) % len(self.names)], group)
        for floor in self.floors + (list(MULTICASTS) if self.arguments.multicast else []):
            busy = self.quiet.wait()
            self.results.add(floor, busbench.run([*seconds, f"limit={floor}"]), busy)

    def measure(self, name: str, group: str) -> None:
        """Run one group of cases with one daemon."""
        case = GROUPS[group]
        daemon = self.fleet.get(name, case.setting)
        busy = self.quiet.wait()
        seconds = ("--seconds", str(self.arguments.seconds))
        results = busbench.run([*seconds, *self.bus(daemon), *case.arguments])
        self.results.add(name, results, busy, case.suffix)
        if not daemon.alive():
            raise SystemExit(f"{name} died:\n{daemon.log()}")

    def count_syscalls(self) -> None:
        """Count system calls with strace, apart from all timed runs."""
        for group in SYSCALL_GROUPS:
            if group in self.groups:
                for name in self.names:
                    counted = count(self.fleet.get(name, WIDE), GROUPS[group], self.arguments.seconds)
                    if counted:
                        self.results.syscalls.setdefault(group, {})[name] = counted

    @staticmethod
    def bus(daemon: Daemon) -> list[str]:
        """Return the arguments that select the bus."""
        return ["--address", daemon.address, "--pid", ",".join(map(str, daemon.pids()))]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--daemon",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="another daemon, in the foreground",
    )
    add("--only", metavar="NAMES", help="only these of the installed daemons")
    add("--no-floors", action="store_true", help="only daemons")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=1.0, help="measured time of a case")
    add(
        "--cases",
        default="memory," + ",".join(GROUPS),
        help=f"of memory, bystander, idle, {', '.join(GROUPS)}",
    )
    add("--baseline", default=BROKER, help="the daemon that ratios refer to")
    add("--syscalls", action="store_true", help="also count system calls a message")
    add("--multicast", action="store_true", help="also the kernel's own multicasts")
    add(
        "--wait-idle",
        type=float,
        default=120,
        metavar="S",
        help="total time to wait for a quiet machine",
    )
    add("--cpus", metavar="0,1", help="use these CPUs only: with one there is far less noise")
    add("--nice", type=int, default=0, help="niceness against other sessions too; below 0 needs root")
    add("--json", type=Path, metavar="FILE", help="write all figures")
    add("--report", type=Path, metavar="FILE", help="write tables, and plots beside them")
    arguments = parser.parse_args(argv)
    if unknown := set(chosen(arguments.cases)) - {"memory"} - set(GROUPS):
        parser.error(f"no case {', '.join(sorted(unknown))}")
    return arguments


def commands(arguments: argparse.Namespace) -> dict[str, str]:
    """Return names and command lines of the compared daemons."""
    names = arguments.only.split(",") if arguments.only is not None else installed()
    found = {name: COMMANDS[name] for name in names if name}
    for text in arguments.daemon:
        name, _, command = text.partition("=")
        found[name] = command
    return found


def main() -> int:
    """Compare, print, and write the requested files; 1 if a case failed."""
    arguments = parse()
    busbench.build()
    if arguments.cpus:
        os.sched_setaffinity(0, {int(cpu) for cpu in arguments.cpus.split(",")})
    if arguments.nice:
        favour(arguments.nice)
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    directory.chmod(0o755)  # some clients run as another user
    taking_part = commands(arguments)
    fleet = Fleet(taking_part, directory)
    comparison = Comparison(arguments, taking_part, fleet)
    try:
        comparison.run()
    finally:
        fleet.stop()
        shutil.rmtree(directory, ignore_errors=True)
    report = Report(comparison.results, comparison.names, comparison.floors, arguments.baseline)
    facts = [
        description(),
        "; ".join(version(name) for name in taking_part if name in COMMANDS),
        f"{arguments.rounds} rounds of {arguments.seconds:g} s a case; medians",
        f"{comparison.quiet.noisy} of {comparison.quiet.runs} runs began while the machine was busy",
    ]
    print(report.text(facts))
    if arguments.report:
        report.write(arguments.report, facts)
    if arguments.json:
        arguments.json.write_text(json.dumps({"facts": facts, **asdict(comparison.results)}, indent=1))
    return 1 if comparison.results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
