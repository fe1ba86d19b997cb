"""The price list: the cost of each attack for a bystander, with the two other buses in the same run.

make bench-attacks                             all of it, into docs/contributing/attacks.md
.venv/bin/python tests/attacks/price_list.py --only nameless,large-set --rounds 1
"""

from __future__ import annotations

import argparse
import datetime
import math
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Final

sys.path.append(str(Path(__file__).parent.parent))  # for `support`

from omnibus.bench.daemons import BROKER, OURS, installed
from omnibus.bench.machine import description, favour
from support.attacks import ATTACKS, CHECKOUT, REFERENCE, Attack, Cost, build, cost

DAEMONS: Final = (REFERENCE, BROKER, OURS)
HEAD: Final = """# The price of attacks

The latency of bystanders while another user attacks the bus, in milliseconds, p50 / p99. The *pair* are two
clients of root, one of which calls the other (work of the data plane); the *call* is a method of the bus
that omnibusd answers in Python; *connecting* includes Hello. Each has a fixed maximum rate, and a late
reply counts once for each period that it is late (`tests/attacks/bystander.c`). `tests/attacks/*.c` and
`bench/client/abuse.c` describe the attacks; *harm* is the number of the attacker's operations in a
second: a slow bus allows fewer.

`make bench-attacks` writes this file, `make attack-test` checks the limits.
"""
Costs = dict[str, dict[str, list[Cost]]]
FIGURES: Final = {"pair": "The pair", "driver": "The call", "connect": "Connecting"}


def shown(microseconds: float) -> str:
    """Milliseconds with two digits or so."""
    if math.isinf(microseconds):
        return "never"
    milliseconds = microseconds / 1000
    return f"{milliseconds:.0f}" if milliseconds >= 10 else f"{milliseconds:.2g}"


def cell(costs: list[Cost], which: str) -> str:
    """p50 / p99, medians of all rounds."""
    p50 = median(each.p50.get(which, math.inf) for each in costs)
    return f"{shown(p50)} / {shown(median(getattr(each, which) for each in costs))}"


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def heading(title: str, daemons: list[str]) -> list[str]:
    return ["", f"## {title}", "", row(["attack", *daemons]), row(["---", *["---:"] * len(daemons)])]


def table(costs: Costs, daemons: list[str]) -> list[str]:
    """One table a figure, and one of the harm."""
    lines = []
    for which, title in FIGURES.items():
        lines += heading(title, daemons)
        lines += [row([name, *(cell(of[d], which) for d in daemons)]) for name, of in costs.items()]
    for title, value in (
        ("Harm a second", lambda each: f"{each.harm_per_s:.0f}"),
        ("Memory taken, MB", lambda each: f"{each.grown / 1e6:.1f}"),
    ):
        lines += heading(title, daemons)
        for name, of in costs.items():
            middle = {d: sorted(of[d], key=lambda each: each.grown)[len(of[d]) // 2] for d in daemons}
            lines.append(row([name, *(value(middle[d]) for d in daemons)]))
    errors = [
        f"- {name}, {d}: {each.error}"
        for name, of in costs.items()
        for d in daemons
        for each in of[d]
        if each.error
    ]
    return [*lines, *(["", "## Failures", "", *errors] if errors else [])]


def measure(
    attacks: list[Attack], daemons: list[str], rounds: int, seconds: float
) -> dict[str, dict[str, list[Cost]]]:
    """All attacks in turns; each round another daemon comes first."""
    found: Costs = {}
    for number in range(rounds):
        for attack in attacks:
            of = found.setdefault(attack.title, {name: [] for name in daemons})
            for k in range(len(daemons)):
                name = daemons[(k + number) % len(daemons)]
                try:
                    of[name].append(cost(name, attack, seconds))
                except RuntimeError as error:
                    never = math.inf
                    of[name].append(Cost(never, never, never, {}, 0, 0, str(error)))
            print(f"round {number + 1}: {attack.title}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--only", help="these attacks, by title")
    parser.add_argument("--daemons", help=f"these of {', '.join(DAEMONS)}")
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a Markdown file to write as well")
    arguments = parser.parse_args()
    if arguments.nice:
        favour(arguments.nice)
    build()
    daemons = [name for name in DAEMONS if name in (arguments.daemons or ",".join(installed())).split(",")]
    chosen = [one for one in ATTACKS if not arguments.only or one.title in arguments.only.split(",")]
    began = time.monotonic()
    costs = measure(chosen, daemons, arguments.rounds, arguments.seconds)
    git = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    took = time.monotonic() - began
    facts = [
        f"- {datetime.date.today()}, commit {commit or 'unknown'}",
        f"- {description()}",
        f"- medians of {arguments.rounds} rounds of {arguments.seconds:g} s; {took:.0f} s in all",
    ]
    text = "\n".join([HEAD, *facts, *table(costs, daemons)]) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
