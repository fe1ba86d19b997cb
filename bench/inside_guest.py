"""The part of ``guest.py`` inside the guest: the cases with every daemon, one JSON object a line."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import busbench
from .compare import Fleet
from .daemons import BROKER, COMMANDS, OURS, Daemon
from .replay import Replay, ReplayError, Script
from .settings import PACKETS, SYSTEM, WIDE, Setting

GROUP = "group"
RELAY = "relay"
COMPARED = {
    "dbus-daemon": COMMANDS["dbus-daemon"],
    BROKER: COMMANDS[BROKER],
    RELAY: f"{COMMANDS[OURS]} --multicast=off",
    GROUP: f"{COMMANDS[OURS]} --multicast=require",
}
SETTLING = 3.0  # seconds; omnibusd defers some work to the second after its start
STATES = Path("/sys/kernel/debug/unix_multicast")
DEADLINE = 300.0  # seconds of one log-in
MEMORY = "memory"
CGROUPS = Path("/run/cgroup")
CGROUP = CGROUPS / "measured"  # of this program, the clients and the daemons


@dataclass(frozen=True)
class Case:
    """One case of busbench's; with ``setting`` SYSTEM every other client is of another user."""

    arguments: tuple[str, ...]
    setting: Setting = WIDE


def pipeline(window: int) -> Case:
    """Return the case with so many calls under way."""
    return Case(("--window", str(window), "pipeline"))


def fanout(subscribers: int, window: int = 64, kind: str = "fanout") -> Case:
    """Return the case with so many subscribers and signals under way."""
    return Case(("--window", str(window), "--subs", str(subscribers), kind))


TWO_USERS = ("--two-users", "--wellknown")
CASES = {
    "rtt": Case(("rtt",)),
    "pipeline": Case(("pipeline",)),
    **{f"pipeline-{window}": pipeline(window) for window in (2, 4, 8)},
    **{f"fanout-{subscribers}": fanout(subscribers) for subscribers in (1, 8, 32)},
    **{f"fanout-1-of-{window}": fanout(1, window) for window in (2, 4, 8)},
    **{f"fanout-8-of-{window}": fanout(8, window) for window in (2, 4, 8, 16)},
    "fanout-8-answered": fanout(8, kind="fanout=answered"),
    "mixed": Case(("--seconds", "1", "--warm", "2", "--clients", "40", "mixed")),
    "login": Case(("--clients", "60", "login")),
    "rtt-system": Case((*TWO_USERS, "rtt"), SYSTEM),
    "pipeline-system": Case((*TWO_USERS, "pipeline"), SYSTEM),
    "fanout-8-system": Case((*TWO_USERS, "--subs", "8", "fanout"), SYSTEM),
    "rtt-seqpacket": Case(("rtt",), PACKETS),
    "pipeline-seqpacket": Case(("pipeline",), PACKETS),
    "fanout-8-seqpacket": Case(("--subs", "8", "fanout"), PACKETS),
    MEMORY: Case(("--kernel-memory", str(CGROUP / "memory.stat"), "--conns", "0,100,400", "memory")),
}
"""The number behind ``of`` is that of the messages under way, 64 otherwise."""


def plays(bus: str, setting: Setting) -> bool:
    """Return whether the bus can have that setting; dbus-broker's controller here allows everything."""
    return setting is WIDE or (setting is SYSTEM and bus != BROKER) or bus in (RELAY, GROUP)


def enter_cgroup() -> None:
    """Move this program into a cgroup that counts the kernel's memory, which costs a tenth of the speed."""
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    CGROUP.mkdir()
    (CGROUP / "cgroup.procs").write_text("0")


class Counts:
    """The file that ``plugin/counter.c`` appends to, outside of the guest: a line for each measurement."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen = len(self._lines())

    def new(self) -> list[int]:
        """Return what has been counted since the last call."""
        found = self._lines()[self._seen :]
        self._seen += len(found)
        return found

    def _lines(self) -> list[int]:
        if not self._file or not self._file.exists():
            return []
        return [int(line) for line in self._file.read_text().splitlines()]


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


class Measuring:
    """Measures cases and log-ins with daemons, and prints each result."""

    def __init__(self, fleet: Fleet, counts: Counts, options: list[str]) -> None:
        self.fleet = fleet
        self.counts = counts
        self.options = options

    def case(self, name: str, bus: str) -> None:
        """Run one case."""
        case = CASES[name]
        if not plays(bus, case.setting):
            return
        daemon = self.fleet.get(bus, case.setting)
        before = passed()
        pids = ",".join(map(str, daemon.pids()))
        arguments = ["--address", daemon.address, "--pid", pids, *self.options, *case.arguments]
        for result in busbench.run(arguments):
            result["case"] = name
            if bus == GROUP:
                result["passed"] = passed() - before
            self.report(bus, result)
        self.check(bus, daemon)

    def log_in(self, script: Script, bus: str) -> None:
        """Replay a recorded log-in, with a daemon of its own."""
        before = passed()

        def ways(result: busbench.Run) -> None:
            if bus == GROUP:
                result["passed"] = passed() - before

        result: busbench.Run = {"case": script.name, "ok": False}
        try:
            result |= Replay(deadline=DEADLINE, observe=ways).run(script, bus, COMPARED)
        except ReplayError as error:
            result["error"] = str(error)
        if not result["ok"]:
            result.setdefault("error", "; ".join(result.get("remarks", [])))
        result.pop("times_us", None)
        self.report(bus, result)

    def report(self, bus: str, result: busbench.Run) -> None:
        """Print a result, with ``instructions`` if they are counted."""
        result["bus"] = bus
        counted = self.counts.new()
        if counted:
            result["instructions"] = counted[-1]
        print(json.dumps(result), flush=True)

    @staticmethod
    def check(bus: str, daemon: Daemon) -> None:
        """End if the daemon has."""
        if not daemon.alive():
            raise SystemExit(f"{bus} died:\n{daemon.log()}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", default="0.2")
    parser.add_argument("--warm", default="0.4")
    parser.add_argument("--only", default=",".join(COMPARED), metavar="NAMES")
    parser.add_argument("--cases", default=",".join(CASES), metavar="NAMES")
    parser.add_argument("--plans", type=Path, metavar="DIR", help="also recorded log-ins, planned there")
    parser.add_argument("--counts", type=Path, metavar="FILE", help="where instructions are counted")
    return parser.parse_args()


def main() -> None:
    """Measure all; each daemon starts once, but those of recorded log-ins."""
    arguments = parse()
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    directory.chmod(0o755)
    fleet = Fleet(COMPARED, directory)
    names = arguments.only.split(",")
    cases = [name for name in arguments.cases.split(",") if name and name != MEMORY]
    options = ["--seconds", arguments.seconds, "--warm", arguments.warm]
    measuring = Measuring(fleet, Counts(arguments.counts), options)
    scripts = (
        [Script.read(plan) for plan in sorted(arguments.plans.glob("*.plan"))] if arguments.plans else []
    )
    try:
        for name in names:
            for setting in {CASES[case].setting for case in cases}:
                if plays(name, setting):
                    fleet.get(name, setting)
        time.sleep(SETTLING)
        for _ in range(arguments.rounds):
            for name in names:
                for case in cases:
                    measuring.case(case, name)
        for script in scripts:
            for name in names:
                measuring.log_in(script, name)
        if MEMORY in arguments.cases.split(","):
            fleet.stop()
            (directory / MEMORY).mkdir(mode=0o755)
            measuring.fleet = fleet = Fleet(COMPARED, directory / MEMORY)
            enter_cgroup()
            for name in names:
                measuring.case(MEMORY, name)
    finally:
        fleet.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
