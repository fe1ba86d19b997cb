"""The C programs of tests/relay that Python tests communicate with."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

RELAY_TESTS = Path(__file__).parent.parent / "relay"
BUILD = RELAY_TESTS / "build"


def build(program: str) -> Path:
    """Build a C program of the relay's tests; one process at a time, because all share the directory."""
    BUILD.mkdir(exist_ok=True)
    target = BUILD / program
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "-C", RELAY_TESTS, f"BUILD={BUILD}", target], capture_output=True, text=True, check=False
        )
    assert made.returncode == 0, made.stdout + made.stderr
    return target
