"""Compare the buses in a guest with the kernel module: instructions, wall time, and wake-ups.

    make bench-guest

The guest is a stock Debian kernel under QEMU, software emulation. Instructions are counted with one CPU, by a
plugin of QEMU's, of clients, kernel and daemon together, between the marks of the clients: without idle time,
and without starting and ending the clients. They are the same however busy this machine is. Wall time, with
two CPUs, means little under emulation.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import busbench
from .inside_guest import CASES, COMPARED, GROUP, RELAY
from .logins import Missing, find
from .replay import LogIn
from .trace import TRACES

CHECKOUT = busbench.HERE.parent
TOOL = CHECKOUT / "kernel/tools/run-in-guest.sh"
RESULTS = CHECKOUT / "build/bench-guest"
COUNTER = busbench.HERE / "build/counter.so"
RATES = ("deliveries_per_s", "msgs_per_s")
"""The figure of a case: the first of these that it reports."""
LOG_INS = tuple(
    f"{desktop}-ref-{bus}" for desktop in ("xfce", "kde", "gnome") for bus in ("session", "system")
)


@dataclass
class Figures:
    """The figures of one boot: instructions or nanoseconds a message, one a round, by case and bus."""

    costs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    turns: dict[str, dict[str, float]] = field(default_factory=dict)
    passed: dict[str, busbench.Run] = field(default_factory=dict)
    memory: dict[str, dict[int, float]] = field(default_factory=dict)
    """Kernel memory in KiB for each connection, by bus and number of connections."""
    failures: list[str] = field(default_factory=list)

    def add(self, result: busbench.Run) -> None:
        """Add one result."""
        case, bus = result["case"], result["bus"]
        if not result["ok"]:
            self.failures.append(f"{case} with {bus}: {result.get('error', '')}")
            return
        if case == "memory":
            if "kernel_kib_per_connection" in result:
                self.memory.setdefault(bus, {})[result["connections"]] = result["kernel_kib_per_connection"]
            return
        messages = result.get("received") or result["seconds"] * next(
            result[key] for key in RATES if key in result
        )
        cost = result.get("instructions", 1e9 * result["seconds"])
        self.costs.setdefault(case, {}).setdefault(bus, []).append(cost / messages)
        turns = [value for key, value in result.items() if key.startswith("daemon_turns_per_")]
        self.turns.setdefault(case, {})[bus] = min(turns, default=result.get("wakeups", 0) / messages)
        if "passed" in result:
            self.passed[case] = result["passed"]

    def ratio(self, case: str) -> float:
        """Return how many times cheaper the group is than the relay; 0 if one failed."""
        costs = self.costs[case]
        return median(costs[RELAY]) / median(costs[GROUP]) if RELAY in costs and GROUP in costs else 0.0

    def table(self, unit: float) -> list[str]:
        """Return a table of the medians, divided by ``unit``."""
        lines = ["| | " + " | ".join(COMPARED) + f" | {RELAY} / {GROUP} |", "|---" * 6 + "|"]
        for case, buses in self.costs.items():
            cells = [f"{median(buses[bus]) / unit:,.1f}" if bus in buses else "" for bus in COMPARED]
            lines.append(f"| {case} | " + " | ".join(cells) + f" | {self.ratio(case):.2f} |")
        return lines

    def woken(self) -> list[str]:
        """Return a table of the daemon's wake-ups for a message, and the share of direct messages."""
        lines = [
            "| | " + " | ".join(COMPARED) + " | direct | of what filters let pass | the others, why |",
            "|---" * 8 + "|",
        ]
        for case, buses in self.turns.items():
            cells = [f"{buses[bus]:.4f}" if bus in buses else "" for bus in COMPARED]
            cells += self.ways(case)
            lines.append(f"| {case} | " + " | ".join(cells) + " |")
        return lines

    def kernel_memory(self) -> list[str]:
        """Return a table of the kernel's memory for a connection."""
        numbers = sorted({number for by_number in self.memory.values() for number in by_number})
        lines = ["| | " + " | ".join(self.memory) + " |", "|---" * (1 + len(self.memory)) + "|"]
        for number in numbers:
            cells = [f"{by_number[number]:.1f}" for by_number in self.memory.values()]
            lines.append(f"| of {number} | " + " | ".join(cells) + " |")
        return lines

    def ways(self, case: str) -> list[str]:
        """Return the share of direct messages, connecting included, and why the others asked.

        Then the same without those that a filter leaves to the bus, such as calls to the driver.
        """
        asked = dict(self.passed.get(case, {}))
        direct = asked.pop("direct", 0)
        every = direct + sum(asked.values())
        shares = (direct / max(1, every), direct / max(1, every - asked.get("verdict", 0)))
        reasons = sorted(asked.items(), key=lambda item: -item[1])
        why = ", ".join(f"{count} {reason}" for reason, count in reasons)
        return [*(f"{100 * share:.1f} %" for share in shares), why]


def write_plans(directory: Path) -> list[str]:
    """Plan the recorded log-ins, if they are there; return what the guest has to know."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        paths = find(TRACES, list(LOG_INS))
    except Missing as error:
        print(error, file=sys.stderr)
        return []
    for path in paths:
        LogIn.prepare(path, directory).write_names()
    return ["--plans", str(directory)]


def run(results: Path, kernel: str, boot: list[str], measuring: list[str]) -> Figures:
    """Boot a guest and measure there."""
    python = CHECKOUT / ".venv/bin/python"
    command = f"cd {CHECKOUT} && PYTHONDONTWRITEBYTECODE=1 {python} -m omnibus.bench.inside_guest "
    command += " ".join(measuring)
    arguments = [TOOL, "-k", kernel, "-m", "2048", "-d", CHECKOUT, *boot, results, command]
    done = subprocess.run(["nice", "-n", "10", *map(str, arguments)], check=False)
    figures = Figures()
    for line in (results / "output").read_text().splitlines():
        if line.startswith("{"):
            figures.add(json.loads(line))
    if done.returncode:
        figures.failures.append(f"the guest failed: see {results}")
    return figures


def wall_time(wall: Figures) -> list[str]:
    """Return the lines about wall time, if it was measured."""
    if not wall.costs:
        return []
    title = "Wall time a message delivered, in microseconds: two emulated CPUs, which means little."
    return [title, "", *wall.table(1000), ""]


def report(instructions: Figures, wall: Figures) -> str:
    """Return all tables; the last line has the ratios."""
    ratios = ", ".join(f"{case} {instructions.ratio(case):.2f}" for case in instructions.costs)
    return "\n".join(
        [
            "# The group against other buses, in a guest",
            "",
            f"Instructions a message delivered, in thousands ({RELAY}: omnibusd without the group;"
            " dbus-broker is not measured with a policy).",
            "",
            *instructions.table(1000),
            "",
            "Wake-ups of the daemon, a message delivered.",
            "",
            *instructions.woken(),
            "",
            "Kernel memory of a connection that has sent itself two messages, both ends together, in KiB.",
            "",
            *instructions.kernel_memory(),
            "",
            *wall_time(wall),
            *(f"FAILED: {failure}" for failure in instructions.failures + wall.failures),
            f"{RELAY} / {GROUP}, in instructions: {ratios}",
        ]
    )


def main() -> int:
    """Measure twice, write and print the report; 1 if anything failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernel", default="6.1", help="series of the Debian kernel")
    parser.add_argument("--only", default=",".join(COMPARED), metavar="NAMES", help="only these")
    parser.add_argument("--cases", default=",".join(CASES), metavar="NAMES", help="only these")
    parser.add_argument("--no-logins", action="store_true", help="without recorded log-ins")
    parser.add_argument("--no-wall", action="store_true", help="without wall time")
    parser.add_argument("--rounds", type=int, default=3, help="of wall time; instructions need only one")
    parser.add_argument("--report", type=Path, default=RESULTS / "report.md")
    arguments = parser.parse_args()
    busbench.build()
    only = ["--only", arguments.only, f"--cases={arguments.cases}"]
    measuring = [*only, "--counts", "/run/results/counts"]
    if not arguments.no_logins:
        measuring += write_plans(RESULTS / "plans")
    counted = run(
        RESULTS / "instructions", arguments.kernel, ["-I", "-t", "5400", "-p", str(COUNTER)], measuring
    )
    measuring = [*only, "--rounds", str(arguments.rounds), "--seconds", "1", "--warm", "0.3"]
    wall = Figures()
    if not arguments.no_wall:
        wall = run(RESULTS / "wall", arguments.kernel, ["-c", "2", "-t", "5400"], measuring)
    text = report(counted, wall)
    arguments.report.write_text(text + "\n")
    print(text)
    return 1 if counted.failures or wall.failures else 0


if __name__ == "__main__":
    sys.exit(main())
