"""Memory, start, rest and growth of all installed daemons, as a section of the report with plots.

    .venv/bin/python -m omnibus.bench.footprint                       everything, printed
    ... --starts 5 --idle 5 --scale 0.01 --endure 10                  a hundredth of it, in a minute
    ... --report bench/report.md --json bench/footprint.json          into the report

--scale makes the numbers of clients, match rules and names smaller; 1 stands for 10,000, 1,000,000 and
100,000. --endure is how long 10,000 messages a second are sent to each bus, in seconds; an hour is 3600. All
buses have theirs at the same time, so that none has a quieter hour than the others.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from .daemons import COMMANDS, Daemon, installed
from .growth import Measure, Sample, Step, endure
from .lines import Points, lines
from .login_report import table
from .machine import description, favour
from .progress import say
from .report import figure
from .rest import Rest, Start, rest, start
from .settings import WIDE

KINDS: Final = {"connections": 10_000, "rules": 1_000_000, "names": 100_000}
"""What a bus is filled with, and the last step."""
STEPS: Final = (0.01, 0.03, 0.1, 0.3, 1.0)
"""The steps, as parts of the last."""
SAMPLES: Final = 20
MARKS: Final = re.compile(r"<!-- footprint -->\n.*?<!-- footprint: end -->\n", re.DOTALL)


@dataclass
class Footprint:
    """What was measured of one daemon."""

    starts: list[Start] = field(default_factory=list)
    rest: Rest | None = None
    growth: dict[str, list[Step]] = field(default_factory=dict)
    endurance: list[Sample] = field(default_factory=list)


class Measurement:
    """One run of all measurements."""

    def __init__(self, arguments: argparse.Namespace, commands: Mapping[str, str], directory: Path) -> None:
        self._arguments = arguments
        self._commands = commands
        self._directory = directory
        self._n = 0
        self.found = {name: Footprint() for name in commands}
        self.load = 0.0
        """Of the machine, before the long run."""
        self.limits: list[str] = []
        """What a bus could not have."""

    def run(self) -> None:
        """Measure everything; starts are interleaved."""
        for _ in range(self._arguments.starts):
            for name in self._commands:
                self._start(name)
        for name, found in self.found.items():
            say(f"{name} at rest")
            found.rest = self._start(name, self._arguments.idle)
            for kind in KINDS:
                say(f"{name} with more {kind}")
                found.growth[kind] = self._grow(name, kind)
        self.load = os.getloadavg()[0]
        say(f"all of them for {self._arguments.endure:g} seconds, load {self.load:.2f}")
        self._endure()

    def _place(self) -> Path:
        self._n += 1
        return self._directory / str(self._n)

    def _start(self, name: str, idle: float | None = None) -> Rest | None:
        """Start the daemon; with ``idle`` return what it is at rest, without count the start."""
        daemon, client, one = start(name, self._commands[name], self._place())
        try:
            if idle is not None:
                return rest(daemon, idle)
            self.found[name].starts.append(one)
            return None
        finally:
            client.close()
            daemon.stop()

    def _grow(self, name: str, kind: str) -> list[Step]:
        steps = sorted({max(10, int(KINDS[kind] * part * self._arguments.scale)) for part in STEPS})
        daemon = Daemon(name, self._commands[name], WIDE, self._place())
        found = []
        filling = Measure(daemon)
        try:
            for step in getattr(filling, kind)(steps):
                found.append(step)
        except OSError as error:
            # Each connection takes a bus several descriptors, of which a machine allows a process so many.
            self.limits.append(f"{name} could not have {steps[len(found)]} {kind}: {error.strerror}")
            say(self.limits[-1])
        finally:
            filling.close()
            daemon.stop()
        return found

    def _endure(self) -> None:
        """Send to all daemons at the same time."""
        rate, seconds = self._arguments.rate, self._arguments.endure
        with ExitStack() as stack:
            daemons = []
            for name in self.found:
                daemons.append(Daemon(name, self._commands[name], WIDE, self._place()))
                stack.callback(daemons[-1].stop)
            pool = stack.enter_context(ThreadPoolExecutor(len(daemons)))
            runs = [pool.submit(_samples, one, rate, seconds) for one in daemons]
            for found, run in zip(self.found.values(), runs, strict=True):
                found.endurance = run.result()


def _samples(daemon: Daemon, rate: int, seconds: float) -> list[Sample]:
    return list(endure(daemon, rate, seconds, SAMPLES))


def rest_table(found: Mapping[str, Footprint]) -> list[str]:
    """Return the lines of the table of starts and of rest."""
    rows = []
    for name, one in found.items():
        if one.rest is None:
            continue
        cpu = median(1000 * start.cpu for start in one.starts)
        elapsed = median(1000 * start.elapsed for start in one.starts)
        seconds = f"{one.rest.wakeups} in {one.rest.seconds:g} s"
        kept = (f"{one.rest.own / 1024:.2f}", f"{one.rest.pss / 1024:.2f}")
        rows.append([name, figure(cpu), figure(elapsed), *kept, seconds, figure(one.rest.cpu)])
    head = ["", "CPU of a start, ms", "first Hello after, ms", "own memory, MiB", "PSS, MiB"]
    return table([*head, "wake-ups at rest", "CPU at rest, ms"], rows)


def growth_table(found: Mapping[str, Footprint], kind: str) -> list[str]:
    """Return the lines of the table of one kind of items."""
    rows = [
        [f"{name}, {step.n}", figure(step.cpu), f"{step.memory:.0f}", figure(step.call)]
        for name, one in found.items()
        for step in one.growth[kind]
    ]
    return table([kind, "CPU of each more, µs", "memory of each more, bytes", "CPU of a call then, µs"], rows)


def endurance_table(found: Mapping[str, Footprint]) -> list[str]:
    """Return the lines of the table of the long run."""
    rows = []
    for name, one in found.items():
        first, last = one.endurance[0], one.endurance[-1]
        messages = sum(sample.messages for sample in one.endurance)
        rate = f"{messages / last.at:.0f}"
        memory = (f"{first.memory / 1024:.2f}", f"{last.memory / 1024:.2f}")
        quarter = max(1, len(one.endurance) // 4)
        costs = (mean_cost(one.endurance[:quarter]), mean_cost(one.endurance[-quarter:]))
        rows.append([name, f"{last.at:.0f}", rate, *memory, *map(figure, costs)])
    head = ["", "seconds", "messages a second", "own memory first, MiB", "and last, MiB"]
    return table([*head, "CPU a message in the first quarter, µs", "and in the last, µs"], rows)


def mean_cost(samples: Sequence[Sample]) -> float:
    """Return the CPU of a message in µs."""
    return sum(one.cpu * one.messages for one in samples) / sum(one.messages for one in samples)


def charts(found: Mapping[str, Footprint]) -> Iterator[tuple[str, str, str]]:
    """Yield each plot's name, title and SVG."""
    for kind in KINDS:
        for what, unit in (("cpu", "µs of each more"), ("memory", "bytes of each more")):
            series: dict[str, Points] = {
                name: [(step.n, getattr(step, what)) for step in one.growth[kind]]
                for name, one in found.items()
            }
            title = f"Growth: {what} of more {kind}"
            yield f"growth-{kind}-{what}", title, lines(title, kind, unit, series, log_x=True)
    long: dict[str, Points] = {
        name: [(round(one.at), one.memory / 1024) for one in footprint.endurance]
        for name, footprint in found.items()
    }
    title = "Own memory in a long run"
    yield "endurance", title, lines(title, "seconds", "MiB", long, log_x=False)


def section(found: Mapping[str, Footprint], facts: Sequence[str], path: Path) -> list[str]:
    """Return the lines of the section; plots are written beside the report."""
    out = ["## Footprint and growth", "", *(f"- {fact}" for fact in facts), "", *rest_table(found)]
    for kind in KINDS:
        out += ["", f"### More {kind}", "", *growth_table(found, kind)]
    out += ["", "### A long run", "", *endurance_table(found)]
    for name, title, chart in charts(found):
        file = path.with_name(f"{path.stem}-{name}.svg")
        file.write_text(chart)
        out += ["", f"![{title}]({file.name})"]
    return out


def replace(text: str, new: Sequence[str]) -> str:
    """Put the section in the place of the one before, or at the end."""
    block = "\n".join(["<!-- footprint -->", *new, "<!-- footprint: end -->", ""])
    found = MARKS.search(text)
    return text[: found.start()] + block + text[found.end() :] if found else f"{text}\n{block}"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", metavar="NAMES", help="only these of the installed daemons")
    add("--starts", type=int, default=20)
    add("--idle", type=float, default=60, metavar="S", help="seconds at rest")
    add("--scale", type=float, default=1.0)
    add("--endure", type=float, default=60, metavar="S")
    add("--rate", type=int, default=10_000, help="messages a second")
    add("--nice", type=int, default=0)
    add("--json", type=Path, metavar="FILE", help="write all figures")
    add("--report", type=Path, metavar="FILE", help="write the section, and plots beside it")
    return parser.parse_args(argv)


def main() -> int:
    """Measure, print, and write the requested files."""
    arguments = parse()
    if arguments.nice:
        favour(arguments.nice)
    # Each connection has a descriptor here and one in the bus.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = installed() if arguments.only is None else arguments.only.split(",")
    directory = Path(tempfile.mkdtemp(prefix="footprint-"))
    directory.chmod(0o755)
    measurement = Measurement(arguments, {name: COMMANDS[name] for name in names}, directory)
    try:
        measurement.run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    found = measurement.found
    facts = [
        description(),
        f"load {measurement.load:.2f} before the long run and {os.getloadavg()[0]:.2f} after it;"
        f" {arguments.starts} starts, medians",
        "CPU and memory are those of all processes of the bus, without its clients;"
        " dbus-broker is without its launcher, which reads the configuration",
        *measurement.limits,
        f"a long run: {arguments.rate} signals a second to one client, for {arguments.endure:g} s,"
        " all buses at the same time",
    ]
    report = section(found, facts, arguments.report or directory) if arguments.report else None
    print("\n".join([*rest_table(found), *(line for kind in KINDS for line in growth_table(found, kind))]))
    print("\n".join(endurance_table(found)))
    if report is not None:
        before = arguments.report.read_text() if arguments.report.exists() else ""
        arguments.report.write_text(replace(before, report))
    if arguments.json:
        plain = {name: asdict(one) for name, one in found.items()}
        arguments.json.write_text(json.dumps({"facts": facts, "daemons": plain}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
