"""A link under load for long: no message lost, doubled or out of order, and memory that does not grow.

python -m omnibus.bench.link_soak [--seconds S] [--messages N] [--bus NAME] [--kind KIND]     as root

It ends when both the time and the number of messages are reached; a call and its reply are two. busbench
verifies each message. Exit status 1: a message was wrong, the link was lost, or memory has grown by more than
a tenth after the first tenth of the run, in which each case has been.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

from .daemons import OURS
from .link import CASES, KINDS, linked, pss, run, wait_for_absence

TURN = 10.0  # seconds of one case
GROWTH = 1.1


def soak(bus: str, kind: str, seconds: float, messages: int) -> str:
    """Run the cases by turns; return what is wrong, "" if nothing is."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        with linked(bus, kind, Path(place)) as (_, a, b, pids):
            begin, sent, first = time.monotonic(), 0, 0
            for turn, (name, case) in enumerate(itertools.cycle(CASES.items())):
                wait_for_absence(b.address)
                try:
                    found = run(case, b.address, pids, TURN, f"--service-address={a.address}")
                except RuntimeError as error:
                    logs = [log.read_text() for log in Path(place).glob("*.log")]
                    return "\n".join([str(error), *logs])
                sent += int(found["n"]) * (1 if case[0] == "bandwidth" else 2)
                passed, memory = time.monotonic() - begin, pss(pids)
                print(f"{passed:7.0f} s {sent:12,} messages {memory:8} KiB   {name}", flush=True)
                progress = min(passed / seconds, sent / messages)
                if progress < 0.1 or turn < len(CASES):
                    first = max(first, memory)
                elif memory > first * GROWTH:
                    return f"memory has grown from {first} to {memory} KiB"
                lost = [log.name for log in Path(place).glob("*.log") if "is lost" in log.read_text()]
                if lost:
                    return f"the link was lost: {', '.join(lost)}"
                if progress >= 1:
                    return ""
    raise AssertionError("the cases have no end")


def main() -> None:
    """Soak as asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--bus", default=OURS)
    parser.add_argument("--kind", choices=KINDS, default="zenoh-tls")
    options = parser.parse_args()
    sys.exit(soak(options.bus, options.kind, options.seconds, options.messages) or 0)


if __name__ == "__main__":
    main()
