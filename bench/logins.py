"""Compare buses in recorded log-ins: replays, interleaved, medians and ratios.

    .venv/bin/python -m omnibus.bench.logins                                  all desktops, both buses
    ... --traces gnome-ref-session --runs 3                                   quickly
    ... --speed 1 --traces xfce-ref-session                                   with the recorded pauses
    ... --report bench/report.md README.md docs/understanding/performance.md  and write the tables into files

Traces are beside the checkout, in ../shared/traces. See README.md beside this.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from . import busbench
from .daemons import COMMANDS, installed
from .login_report import RUNNING, STARTING, LogInReport, replace
from .machine import Quiet, description, favour
from .progress import say
from .replay import UNTIL, LogIn, Replay, ReplayError
from .trace import TRACES, TraceError

DESKTOPS: Final = ("xfce", "kde", "gnome")
BUSES: Final = ("session", "system")
RECORDED_WITH: Final = "ref"  # dbus-daemon


class Missing(Exception):
    """There are no traces."""


def find(directory: Path, names: list[str]) -> list[Path]:
    """Return the files of the named traces."""
    if not directory.is_dir():
        raise Missing(
            f"there are no recorded log-ins in {directory}: they are not part of the repository, and belong "
            "beside the checkout, in ../shared/traces (or --directory)"
        )
    paths = [directory / f"{name}.csv.xz" for name in names]
    if absent := [str(path) for path in paths if not path.exists()]:
        raise Missing(f"there is no {', '.join(absent)}")
    return paths


def prepare(arguments: argparse.Namespace, directory: Path) -> dict[tuple[str, str], LogIn]:
    """Plan all log-ins, with services that are started and with running ones, into a directory."""
    return {
        (path.name.partition(".")[0], mode): LogIn.prepare(path, directory, arguments.until, running)
        for path in find(arguments.directory, arguments.traces.split(","))
        for mode, running in {STARTING: False, RUNNING: True}.items()
    }


def run(arguments: argparse.Namespace, directory: Path) -> tuple[LogInReport, Quiet]:
    """Plan and replay everything."""
    logins = prepare(arguments, directory)
    names = arguments.only.split(",") if arguments.only else installed()
    report = LogInReport(names, logins)
    quiet = Quiet(arguments.wait_idle)
    replay = Replay(arguments.speed, arguments.deadline, arguments.processes)
    for number in range(arguments.runs):
        say(f"run {number + 1} of {arguments.runs}, load {os.getloadavg()[0]:.2f}")
        for key, login in logins.items():
            for k in range(len(names)):
                name = names[(k + number) % len(names)]
                quiet.wait()
                try:
                    report.add(key, name, replay.run(login, name))
                except ReplayError as error:
                    report.fail(key, name, str(error))
    return report, quiet


def write_plans(arguments: argparse.Namespace) -> int:
    """Write the plans for a player elsewhere, each with the names that systemd has to start there."""
    try:
        logins = prepare(arguments, arguments.plans)
    except (Missing, TraceError) as error:
        say(f"logins: {error}")
        return 2
    for login in logins.values():
        login.write_names()
        print(login.file)
    return 0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    every = ",".join(f"{desktop}-{RECORDED_WITH}-{bus}" for desktop in DESKTOPS for bus in BUSES)
    add("--directory", type=Path, default=TRACES, help="where the traces are")
    add("--traces", default=every, metavar="NAMES", help="without .csv.xz; all desktops, both buses")
    add("--runs", type=int, default=10)
    add("--only", metavar="NAMES", help=f"of {', '.join(COMMANDS)}")
    add("--until", default=UNTIL, metavar="MARK", help="of the trace's summary, or `end`")
    add(
        "--plans",
        type=Path,
        metavar="DIR",
        help="only write the plans, and the names that need service files",
    )
    add("--speed", type=float, default=0.0, help="1: as recorded; 10: ten times as fast; 0: without pauses")
    add("--deadline", type=float, default=60.0, metavar="S", help="of one replay")
    add("--processes", type=int, default=1, help="of the player")
    add("--wait-idle", type=float, default=120, metavar="S", help="total time to wait for a quiet machine")
    add("--cpus", metavar="0,1", help="use these CPUs only")
    add("--nice", type=int, default=0, help="niceness against other sessions too; below 0 needs root")
    add("--json", type=Path, metavar="FILE", help="write all figures")
    add("--report", type=Path, nargs="*", default=[], metavar="FILE", help="write tables between the marks")
    return parser.parse_args(argv)


def main() -> int:
    """Replay, print, and write the requested files; 1 if a replay differs, 2 without traces."""
    arguments = parse()
    busbench.build()
    if arguments.plans:
        return write_plans(arguments)
    if arguments.cpus:
        os.sched_setaffinity(0, {int(cpu) for cpu in arguments.cpus.split(",")})
    if arguments.nice:
        favour(arguments.nice)
    with tempfile.TemporaryDirectory(prefix="logins-") as directory:
        try:
            report, quiet = run(arguments, Path(directory))
        except (Missing, TraceError) as error:
            say(f"logins: {error}")
            return 2
    report.facts = [
        f"{datetime.date.today():%-d %B %Y}, {description()}",
        f"{arguments.runs} runs; medians; "
        + ("without pauses" if not arguments.speed else f"{arguments.speed:g} times the recorded speed"),
        f"{quiet.noisy} of {quiet.runs} replays began while the machine was busy",
    ]
    print("\n".join(report.full()))
    for path in arguments.report:
        path.write_text(replace(path.read_text(), report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report.figures(), indent=1))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
