"""Instructions of the relay for each message, as multiples of those of a minimal relay.

Counts don't depend on how busy the machine is, ratios hardly on compiler and C library: the floor is built
and run together with the relay. Both are counted by callgrind, in one process without threads.

    .venv/bin/python -m omnibus.bench.instructions            counts, ratios, and expected ratios
    .venv/bin/python -m omnibus.bench.instructions --accept   make the counted ratios the expected ones
"""

from __future__ import annotations

import argparse
import fcntl
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "build" / "instructions.program"
EXPECTED = HERE / "instructions.json"
TOLERANCE = 0.10
"""The factor by which a ratio may grow."""

TRIGGER = re.compile(r"^desc: Trigger: Client Request: (\w+) ([\w-]+) (\d+)$", re.MULTILINE)
TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Count:
    """Instructions a message, of the relay and of the floor."""

    relay: float
    floor: float

    @property
    def ratio(self) -> float:
        """The relay's instructions as a multiple of the floor's."""
        return self.relay / self.floor


def build() -> None:
    """Compile the program; one process at a time."""
    PROGRAM.parent.mkdir(exist_ok=True)
    with (PROGRAM.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = PROGRAM.relative_to(HERE)
        done = subprocess.run(["make", "-s", "-C", HERE, target], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


def count() -> dict[str, Count]:
    """Run everything under callgrind once; the result is the same every time."""
    build()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="callgrind-") as directory:
        output = f"--callgrind-out-file={directory}/out"
        command = ["valgrind", "-q", "--tool=callgrind", "--collect-atstart=no", output, str(PROGRAM)]
        subprocess.run(command, check=True, timeout=120)
        for path in Path(directory).glob("out.*"):
            text = path.read_text()
            trigger, totals = TRIGGER.search(text), TOTALS.search(text)
            if trigger and totals:
                subject, script, messages = trigger.groups()
                found.setdefault(script, {})[subject] = int(totals[1]) / int(messages)
    return {script: Count(both["relay"], both["floor"]) for script, both in sorted(found.items())}


def expected() -> dict[str, float]:
    """Return the accepted ratios."""
    ratios: dict[str, float] = json.loads(EXPECTED.read_text())
    return ratios


def grown(counts: dict[str, Count], accepted: dict[str, float]) -> list[str]:
    """Return a line for each script with a ratio too high, without a count, or without an expectation."""
    found = [f"{script}: not counted" for script in accepted.keys() - counts.keys()]
    for script, counted in counts.items():
        if script not in accepted:
            found.append(f"{script}: no expected ratio")
        elif counted.ratio > accepted[script] * (1 + TOLERANCE):
            found.append(f"{script}: {counted.ratio:.2f} times the floor, expected {accepted[script]:.2f}")
    return sorted(found)


def main() -> int:
    """Print the counts; 1 if one has grown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accept", action="store_true", help="write the ratios to instructions.json")
    accept = parser.parse_args().accept
    counts = count()
    if accept:
        ratios = {script: round(counted.ratio, 2) for script, counted in counts.items()}
        EXPECTED.write_text(json.dumps(ratios, indent=1) + "\n")
    accepted = expected()
    print(f"{'a message of':16}{'relay':>8}{'floor':>8}{'ratio':>8}{'expected':>10}")
    for script, counted in counts.items():
        shown = f"{counted.relay:8.0f}{counted.floor:8.0f}{counted.ratio:8.2f}"
        print(f"{script:16}{shown}{accepted.get(script, 0):10.2f}")
    problems = grown(counts, accepted)
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
