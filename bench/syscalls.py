"""Counts a daemon's system calls for each message, with strace."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from pathlib import Path

from . import busbench
from .cases import Group
from .daemons import Daemon

SYSCALL_GROUPS = ("rtt", "pipeline", "pipeline-batch", "fanout")
ATTACH = 0.7  # seconds until strace has attached
LEAST = 0.005  # calls rarer than this for each message are left out


def count(daemon: Daemon, group: Group, seconds: float) -> busbench.Run | None:
    """Return messages, and calls for each message in total and by name; None if the run failed."""
    with tempfile.NamedTemporaryFile("r", prefix="strace-") as file:
        attach = [word for pid in daemon.pids() for word in ("-p", str(pid))]
        tracer = subprocess.Popen(
            ["strace", "-c", "-f", "-o", file.name, *attach],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(ATTACH)
        base = ["--address", daemon.address, "--seconds", str(seconds), "--warm", "0"]
        results = busbench.run([*base, *group.arguments])
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        calls = _read(Path(file.name))
    if not all(result["ok"] for result in results):
        return None
    messages = sum(result["n"] * result.get("subs", 2) for result in results)  # a call has a reply
    each = {name: n / messages for name, n in calls.items()}
    return {
        "messages": messages,
        "per_message": sum(each.values()),
        "calls": {
            name: round(n, 3) for name, n in sorted(each.items(), key=lambda pair: -pair[1]) if n >= LEAST
        },
    }


def _read(path: Path) -> dict[str, int]:
    calls = {}
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) >= 5 and words[0][0].isdigit() and words[-1] != "total":
            calls[words[-1]] = int(words[3])
    return calls
