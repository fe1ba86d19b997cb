"""Replays a recorded log-in on a bus, and measures the bus."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from . import trace
from .busbench import HERE
from .daemons import BROKER, COMMANDS, Daemon
from .plan import Plan
from .planner import Planner
from .settings import NO_QUOTAS, WIDE_LIMITS, Setting

PROGRAM: Final = HERE / "build" / "player.program"
UNTIL: Final = "settled"
"""The mark at which a log-in is over: 15 seconds after the last window."""
SETTLED: Final = 0.3  # seconds without CPU time, after which a bus has started
START: Final = 1.5  # seconds that it has at least
MORE_SERVICES: Final = {"session": 60, "system": 30}
"""Service files besides those that are used, as many as a desktop has."""
DROP_INS: Final = {"session": 0, "system": 20}
"""Files with four rules each: the system bus of a desktop has about as many."""

Result = dict[str, Any]


class ReplayError(Exception):
    """The player could not finish; the text says why."""


@dataclass(frozen=True)
class Usage:
    """What a bus has used since it was started: seconds of CPU, of its children also, and wake-ups."""

    cpu: float
    wakeups: int
    controller: float

    @classmethod
    def of(cls, daemon: Daemon) -> Usage:
        """Read it. Ended children count in ticks of 10 ms, the rest in nanoseconds."""
        cpu, wakeups = 0.0, 0
        for pid in daemon.pids():
            try:
                cpu += time.clock_gettime(~pid << 3 | 2) + ended_children(pid)
                for status in Path(f"/proc/{pid}/task").glob("*/status"):
                    text = status.read_text()
                    wakeups += int(text.partition("\nvoluntary_ctxt_switches:")[2].split("\n")[0])
            except OSError:
                continue  # it has just ended, and its parent counts it
        return cls(cpu, wakeups, daemon.controller_cpu())


def ended_children(pid: int) -> float:
    """Return the CPU time of a process's children that have ended, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / 100


@dataclass
class Script:
    """What a player needs of a log-in: its plan, in a file, and what a bus needs for it."""

    name: str
    setting: Setting
    file: Path

    @classmethod
    def read(cls, file: Path) -> Script:
        """Read what :meth:`write_names` has left beside a plan."""
        names = file.with_suffix(".names").read_text().split()
        return cls(file.stem, setting_of(file.stem, names), file)

    def write_names(self) -> None:
        """Write the names that are to be started, for a player elsewhere."""
        self.file.with_suffix(".names").write_text("".join(f"{name}\n" for name in self.setting.activatable))


def setting_of(name: str, activatable: Iterable[str]) -> Setting:
    """Return the configuration of the bus of a log-in, DESKTOP-RECORDER-BUS with or without more words."""
    bus = next((word for word in name.split("-") if word in DROP_INS), "session")
    return Setting(
        name,
        NO_QUOTAS,
        tuple(WIDE_LIMITS.items()),
        files=DROP_INS[bus],
        type=bus,
        services=MORE_SERVICES[bus],
        activatable=tuple(sorted(activatable)),
    )


@dataclass
class LogIn(Script):
    """A recorded log-in."""

    plan: Plan

    @classmethod
    def prepare(cls, path: Path, directory: Path, until: str = UNTIL, running: bool = False) -> LogIn:
        """Plan a trace; ``running``: services that the bus had started are there before."""
        name = path.name.partition(".")[0]
        lines = trace.read(path)
        end = lines[-1].t if until == "end" else trace.mark(path, until)
        plan = Planner(str(path), lines, end).run()
        activatable = plan.activatable
        if running:
            plan = Planner(str(path), lines, end, running=True).run()
        file = directory / f"{name}{'-running' if running else ''}.plan"
        file.write_text(plan.text())
        return cls(name, setting_of(name, activatable), file, plan)


@dataclass
class Replay:
    """How to replay; times in seconds. ``observe`` may add to a result while the bus is there."""

    speed: float = 0.0
    deadline: float = 60.0
    processes: int = 1
    more: list[str] = field(default_factory=list)
    observe: Callable[[Result], None] = lambda result: None

    def run(self, login: Script, name: str, commands: Mapping[str, str] = COMMANDS) -> Result:
        """Start a bus, replay, and return what the player and the kernel counted."""
        command = commands[name] + ("" if name == BROKER else " --systemd-activation")
        with tempfile.TemporaryDirectory(prefix="login-") as directory:
            daemon = Daemon(name, command, login.setting, Path(directory) / "bus")
            try:
                settle(daemon)
                return self.play(login, daemon)
            finally:
                daemon.stop()

    def play(self, login: Script, daemon: Daemon) -> Result:
        """Replay on a bus that is there."""
        command = [str(PROGRAM), "--hold", "--address", daemon.address, "--starts", str(daemon.starts)]
        command += ["--speed", str(self.speed), "--deadline", str(self.deadline)]
        command += ["--processes", str(self.processes), *self.more, str(login.file)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as player:
            assert player.stdin and player.stdout and player.stderr
            try:
                if player.stdout.readline() != "ready\n":
                    raise ReplayError(player.stderr.read().strip() + "\n" + daemon.log())
                before = Usage.of(daemon)
                player.stdin.write("go\n")
                player.stdin.flush()
                line = player.stdout.readline()
                if not line:
                    raise ReplayError(player.stderr.read().strip() + "\n" + daemon.log())
                after = Usage.of(daemon)
                result: Result = json.loads(line)
                self.observe(result)
            finally:
                player.stdin.close()
        result["cpu"] = after.cpu - before.cpu
        result["cpu_with_start"] = after.cpu
        result["wakeups"] = after.wakeups - before.wakeups
        result["controller_cpu"] = after.controller - before.controller
        return result


def settle(daemon: Daemon) -> None:
    """Wait until a bus has nothing to do any more."""
    end = time.monotonic() + START
    while True:
        before = Usage.of(daemon).cpu
        time.sleep(SETTLED)
        if Usage.of(daemon).cpu - before < 0.001 and time.monotonic() > end:
            return
        if time.monotonic() > end + 10:
            return
