"""C tests: programs of a directory whose Makefile builds them, each with a table of ``TEST(...)``."""

from __future__ import annotations

import fcntl
import functools
import re
import subprocess
from pathlib import Path

import pytest


def cases(directory: Path) -> list[tuple[str, str]]:
    """Return every (program, test) from the tables in the sources."""
    return [
        (source.stem, name)
        for source in sorted(directory.glob("test_*.c"))
        for name in re.findall(r"\bTEST\((\w+)\)", source.read_text())
    ]


@functools.cache
def build(directory: Path, program: str) -> Path:
    """Build one program; one process at a time, because all workers share the directory."""
    made_in = directory / "build"
    made_in.mkdir(exist_ok=True)
    with (made_in / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = made_in / program
        made = subprocess.run(
            ["make", "-C", directory, f"BUILD={made_in}", target], capture_output=True, text=True, check=False
        )
    assert made.returncode == 0, made.stdout + made.stderr
    return target


def run(program: Path, name: str) -> None:
    """Run one test of a program."""
    ran = subprocess.run(
        [program, name], capture_output=True, text=True, errors="replace", timeout=120, check=False
    )
    output = ran.stdout + ran.stderr
    *lines, closing = ran.stdout.splitlines() or [""]
    assert closing == "1 tests, 0 failed", output
    assert ran.returncode == 0, output  # reports of the sanitizers at exit follow the closing line
    if skipped := [line for line in lines if line.startswith("skip ")]:
        pytest.skip(skipped[0])
    assert f"ok {name}" in lines, output
