"""Compilation of the clients in ``tests/guest/load``."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
BUILD = CHECKOUT / "build/load"


def load_program() -> Path:
    """Compile them, one process at a time, unless they exist: a guest may not be able to write."""
    command = ["make", "-s", "-C", str(CHECKOUT / "tests/guest/load"), f"BUILD={BUILD}"]
    if subprocess.run([*command, "-q"], capture_output=True, check=False).returncode:
        BUILD.mkdir(parents=True, exist_ok=True)
        with (BUILD / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
    return BUILD / "omnibus-load"
