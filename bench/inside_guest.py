"""The part of ``guest.py`` inside the guest: the cases with every daemon, one JSON object a line."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from . import busbench
from .compare import Fleet
from .daemons import BROKER, COMMANDS, OURS, Daemon
from .settings import WIDE

GROUP = "group"
RELAY = "relay"
COMPARED = {
    "dbus-daemon": COMMANDS["dbus-daemon"],
    BROKER: COMMANDS[BROKER],
    RELAY: f"{COMMANDS[OURS]} --multicast=off",
    GROUP: f"{COMMANDS[OURS]} --multicast=require",
}
CASES: tuple[tuple[str, ...], ...] = (
    ("rtt",),
    ("pipeline",),
    *(("--subs", str(subscribers), "fanout") for subscribers in (1, 8, 32)),
    ("--subs", "8", "fanout=answered"),
    ("--seconds", "1", "--warm", "2", "--clients", "40", "mixed"),
    ("--clients", "60", "login"),
)
SETTLING = 3.0  # seconds; omnibusd defers some work to the second after its start
STATES = Path("/sys/kernel/debug/unix_multicast")


def passed() -> Counter[str]:
    """Return the numbers of messages that went ``direct`` and that asked, by reason, in all groups."""
    found: Counter[str] = Counter()
    for state in STATES.iterdir():
        name, *words = state.read_text().split("\n", 1)[0].split()
        assert name == "group"
        found.update(dict(zip(words[::2], map(int, words[1::2]), strict=True)))
    for other in ("multicast", "copies", "received", "dropped", "spilled"):
        del found[other]
    return found


def measure(name: str, daemon: Daemon, options: list[str]) -> None:
    """Run all cases and print their reports, with ``passed`` if there is a group."""
    pids = ",".join(map(str, daemon.pids()))
    for case in CASES:
        before = passed()
        results = busbench.run(["--address", daemon.address, "--pid", pids, *options, *case])
        for result in results:
            result["bus"] = name
            if name == GROUP:
                result["passed"] = passed() - before
            print(json.dumps(result), flush=True)
        if not daemon.alive():
            raise SystemExit(f"{name} died:\n{daemon.log()}")


def main() -> None:
    """Measure all; each daemon starts once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", default="0.2")
    parser.add_argument("--warm", default="0.4")
    parser.add_argument("--only", default=",".join(COMPARED), metavar="NAMES")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    fleet = Fleet(COMPARED, directory)
    try:
        for name in arguments.only.split(","):
            fleet.get(name, WIDE)
        time.sleep(SETTLING)
        for _ in range(arguments.rounds):
            for name in arguments.only.split(","):
                options = ["--seconds", arguments.seconds, "--warm", arguments.warm]
                measure(name, fleet.get(name, WIDE), options)
    finally:
        fleet.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
