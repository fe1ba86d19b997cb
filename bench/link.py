"""What a link costs: calls between two buses through omnibus-link, as ratios to calls on one bus.

python -m omnibus.bench.link [--seconds S] [--runs N] [--bus NAME ...]     as root, since a link has users

Each case is run on one bus and through a link by turns, and the medians of the runs are compared. CPU time is
that of the link's process; memory is its PSS.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .daemons import BROKER, CHECKOUT, COMMANDS, OURS, Daemon, installed
from .settings import WIDE

BUSBENCH = CHECKOUT / "bench/build/busbench"
LINK = CHECKOUT / ".venv/bin/omnibus-link"
CASES = {
    "one after another": ("rtt", "--size=64"),
    "64 under way": ("pipeline", "--size=64"),
    "64 KiB there and back": ("rtt", "--size=65536"),
    "1 MiB one way": ("bandwidth", "--size=1000000"),
}
START_DEADLINE = 20.0  # seconds
FILE = """
[bus.a]
address = "{a}"
user = "daemon"
export = {{ "org.busbench.Echo" = {{ to = ["b"] }} }}
[bus.b]
address = "{b}"
user = "bin"
import = {{ "org.busbench.Echo" = {{ from = "a" }} }}
"""


@contextmanager
def linked(bus: str, directory: Path) -> Iterator[tuple[Daemon, Daemon, int]]:
    """Start two buses and a link; yield them and the process of the link."""
    with ExitStack() as stack:
        buses = []
        for name in ("a", "b"):
            buses.append(Daemon(bus, COMMANDS[bus], WIDE, directory / name))
            stack.callback(buses[-1].stop)
        file, log = directory / "link.toml", directory / "link.log"
        file.write_text(FILE.format(a=buses[0].address, b=buses[1].address))
        with log.open("wb") as stream:
            link = subprocess.Popen([LINK, file], stderr=stream)
        stack.callback(link.wait)
        stack.callback(link.terminate)
        end = time.monotonic() + START_DEADLINE
        while "are linked" not in log.read_text():
            if time.monotonic() > end or link.poll() is not None:
                raise RuntimeError(f"the link does not start: {log.read_text()}")
            time.sleep(0.02)
        yield buses[0], buses[1], link.pid


def run(case: tuple[str, ...], address: str, pids: list[int], seconds: float, *more: str) -> dict[str, Any]:
    """Run a case of busbench; return its numbers."""
    options = [f"--address={address}", f"--seconds={seconds}", "--json", f"--pid={','.join(map(str, pids))}"]
    done = subprocess.run([BUSBENCH, *options, *case[1:], *more, case[0]], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return dict(json.loads(done.stdout))


def pss(pid: int) -> int:
    """Return the PSS of a process, in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:")))


def measure(bus: str, seconds: float, runs: int) -> None:
    """Print the table of a bus."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        with linked(bus, Path(place)) as (a, b, link):
            before = pss(link)
            for name, case in CASES.items():
                local, remote, cpu = [], [], []
                for _ in range(runs):
                    one = run(case, a.address, [a.pid], seconds, "--wellknown")
                    local.append(one["n"] / one["seconds"])
                    two = run(case, b.address, [link], seconds, f"--service-address={a.address}")
                    remote.append(two["n"] / two["seconds"])
                    cpu.append(2 * two["daemon_cpu_us_per_msg"])
                ratio = statistics.median(local) / statistics.median(remote)
                print(
                    f"{bus:12} {name:22} ratio {ratio:5.2f}   local {statistics.median(local):8.0f}/s"
                    f"   linked {statistics.median(remote):8.0f}/s"
                    f"   link {statistics.median(cpu):6.1f} us a call"
                )
            print(f"{bus:12} memory of the link: {before} KiB at first, {pss(link)} KiB after")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bus", action="append", choices=(OURS, "dbus-daemon", BROKER))
    options = parser.parse_args()
    for bus in options.bus or installed():
        measure(bus, options.seconds, options.runs)


if __name__ == "__main__":
    main()
