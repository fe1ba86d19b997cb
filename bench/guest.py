"""Compare the buses in a guest with the kernel module: instructions, wall time, and wake-ups.

    make bench-guest

The guest is a stock Debian kernel under QEMU, software emulation. Instructions are counted with one CPU: a
nanosecond of the guest's time is an instruction, of clients, kernel and daemon together. They are the same
however busy this machine is. Wall time, with two CPUs, means little under emulation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import busbench
from .inside_guest import COMPARED, GROUP, RELAY

CHECKOUT = busbench.HERE.parent
TOOL = CHECKOUT / "kernel/tools/run-in-guest.sh"
RESULTS = CHECKOUT / "build/bench-guest"
RATES = ("deliveries_per_s", "msgs_per_s")
"""The figure of a case: the first of these that it reports."""


@dataclass
class Figures:
    """The figures of one boot: nanoseconds a message, by case and bus, one a round."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    turns: dict[str, dict[str, float]] = field(default_factory=dict)
    passed: dict[str, busbench.Run] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, result: busbench.Run) -> None:
        """Add one result."""
        case, bus = result["case"].split(":")[0], result["bus"]
        if not result["ok"]:
            self.failures.append(f"{case} with {bus}: {result.get('error', '')}")
            return
        rate = next(result[key] for key in RATES if key in result)
        self.times.setdefault(case, {}).setdefault(bus, []).append(1e9 / rate)
        turns = [value for key, value in result.items() if key.startswith("daemon_turns_per_")]
        self.turns.setdefault(case, {})[bus] = min(turns)
        if "passed" in result:
            self.passed[case] = result["passed"]

    def ratio(self, case: str) -> float:
        """Return how many times cheaper the group is than the best of the others; 0 if one failed."""
        medians = {bus: median(times) for bus, times in self.times[case].items()}
        if medians.keys() != COMPARED.keys():
            return 0.0
        own = medians.pop(GROUP)
        return min(medians.values()) / own

    def table(self, unit: float) -> list[str]:
        """Return a table of the medians, divided by ``unit``."""
        lines = ["| | " + " | ".join(COMPARED) + " | best of the others / group |", "|---" * 6 + "|"]
        for case, buses in self.times.items():
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


def report(instructions: Figures, wall: Figures) -> str:
    """Return all tables; the last line has the ratios."""
    ratios = ", ".join(f"{case} {instructions.ratio(case):.2f}" for case in instructions.times)
    return "\n".join(
        [
            "# The group against other buses, in a guest",
            "",
            f"Instructions a message delivered, in thousands ({RELAY}: omnibusd without the group).",
            "",
            *instructions.table(1000),
            "",
            "Wake-ups of the daemon, a message delivered.",
            "",
            *instructions.woken(),
            "",
            "Wall time a message delivered, in microseconds: two emulated CPUs, which means little.",
            "",
            *wall.table(1000),
            "",
            *(f"FAILED: {failure}" for failure in instructions.failures + wall.failures),
            f"best of the others / group, in instructions: {ratios}",
        ]
    )


def main() -> int:
    """Measure twice, write and print the report; 1 if anything failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernel", default="6.1", help="series of the Debian kernel")
    parser.add_argument("--only", default=",".join(COMPARED), metavar="NAMES", help="only these")
    parser.add_argument("--rounds", type=int, default=3, help="of wall time; instructions need only one")
    parser.add_argument("--report", type=Path, default=RESULTS / "report.md")
    arguments = parser.parse_args()
    busbench.build()
    only = ["--only", arguments.only]
    counted = run(RESULTS / "instructions", arguments.kernel, ["-I", "-t", "1500"], only)
    measuring = [*only, "--rounds", str(arguments.rounds), "--seconds", "1", "--warm", "0.3"]
    wall = run(RESULTS / "wall", arguments.kernel, ["-c", "2", "-t", "1500"], measuring)
    text = report(counted, wall)
    arguments.report.write_text(text + "\n")
    print(text)
    return 1 if counted.failures or wall.failures else 0


if __name__ == "__main__":
    sys.exit(main())
