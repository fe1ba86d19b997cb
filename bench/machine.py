"""The machine: description, load, and priority."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

BUSY = 0.15
"""The share of the machine's CPU time that other processes may use during a measurement."""


def description() -> str:
    """Return CPU, kernel and number of CPUs, for the report."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    uname = os.uname()
    cpus = len(os.sched_getaffinity(0))
    used = f"{cpus} CPUs" if cpus == os.cpu_count() else f"{os.cpu_count()} CPUs of which {cpus} used"
    return f"{model}, {uname.machine}, {used}, Linux {uname.release}"


def busy(seconds: float = 0.25) -> float:
    """Return the share of the machine's CPU time in use."""

    def read() -> tuple[int, int]:
        times = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(times), times[3] + times[4]

    all_before, idle_before = read()
    time.sleep(seconds)
    all_after, idle_after = read()
    return 1 - (idle_after - idle_before) / max(1, all_after - all_before)


class Quiet:
    """Waits for the machine to become idle, for a limited time."""

    def __init__(self, budget: float) -> None:
        self._left = budget
        self.noisy = 0
        self.runs = 0

    def wait(self) -> float:
        """Wait; return the load afterwards."""
        self.runs += 1
        now = busy(0.1 if self._left <= 0 else 0.25)
        while now > BUSY and self._left > 0:
            before = time.monotonic()
            time.sleep(0.5)
            now = busy()
            self._left -= time.monotonic() - before
        self.noisy += now > BUSY
        return now


def favour(nice: int) -> None:
    """Start a new session with this niceness, which then counts against other sessions too.

    With autogroups, the default on many machines, a process's niceness counts inside its session only.
    """
    pid = os.fork()
    if pid:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.setsid()
    os.nice(nice)
    try:
        Path("/proc/self/autogroup").write_text(str(nice))
    except OSError:
        pass
