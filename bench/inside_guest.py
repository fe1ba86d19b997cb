"""What ``guest.py`` runs in the guest: the cases with every daemon, one JSON object a line."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
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
CASES = (
    ("rtt",),
    ("pipeline",),
    ("--subs", "1,8,32", "fanout"),
    ("--clients", "40", "mixed"),
    ("--clients", "60", "login"),
)
STATES = Path("/sys/kernel/debug/unix_multicast")


def passed() -> tuple[int, int]:
    """How many messages have gone direct, and how many by way of the daemon, in all groups together."""
    direct = asked = 0
    for state in STATES.iterdir():
        name, *words = state.read_text().split("\n", 1)[0].split()
        assert name == "group"
        counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
        direct += counts.pop("direct")
        for other in ("multicast", "copies", "received", "dropped", "spilled"):
            del counts[other]
        asked += sum(counts.values())
    return direct, asked


def measure(name: str, daemon: Daemon, options: list[str]) -> None:
    """Run all cases and print what they report, with ``direct`` and ``asked`` where there is a group."""
    pids = ",".join(map(str, daemon.pids()))
    for case in CASES:
        before = passed()
        results = busbench.run(["--address", daemon.address, "--pid", pids, *options, *case])
        direct, asked = (now - then for now, then in zip(passed(), before, strict=True))
        for result in results:
            result["bus"] = name
            if name == GROUP:
                result |= {"direct": direct, "asked": asked}
            print(json.dumps(result), flush=True)
        if not daemon.alive():
            raise SystemExit(f"{name} died:\n{daemon.log()}")


def main() -> None:
    """Measure all; each daemon starts once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", default="0.2")
    parser.add_argument("--warm", default="0.1")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    fleet = Fleet(COMPARED, directory)
    try:
        for _ in range(arguments.rounds):
            for name in COMPARED:
                options = ["--seconds", arguments.seconds, "--warm", arguments.warm]
                measure(name, fleet.get(name, WIDE), options)
    finally:
        fleet.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
