"""The relay's C tests: each `TEST(...)` of each test_*.c is a test here; each fuzz_*.c runs briefly."""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.fuzz import fuzz

HERE = Path(__file__).parent
BUILD = HERE / "build"
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "2"))

pytestmark = pytest.mark.skipif(
    not (shutil.which("clang") and shutil.which("make")), reason="clang and make build the C tests"
)


def cases() -> list[tuple[str, str]]:
    """Return every (program, test) from the tables in the sources."""
    return [
        (source.stem, name)
        for source in sorted(HERE.glob("test_*.c"))
        for name in re.findall(r"\bTEST\((\w+)\)", source.read_text())
    ]


@functools.cache
def build(program: str) -> Path:
    """Build one program; one process at a time, because all workers share the directory."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = BUILD / program
        made = subprocess.run(
            ["make", "-C", HERE, f"BUILD={BUILD}", target], capture_output=True, text=True, check=False
        )
    assert made.returncode == 0, made.stdout + made.stderr
    return target


@pytest.mark.parametrize(("program", "name"), cases())
def test_c(program: str, name: str) -> None:
    ran = subprocess.run(
        [build(program), name], capture_output=True, text=True, errors="replace", timeout=120, check=False
    )
    output = ran.stdout + ran.stderr
    *lines, closing = ran.stdout.splitlines() or [""]
    assert closing == "1 tests, 0 failed", output
    assert ran.returncode == 0, output  # reports of the sanitizers at exit follow the closing line
    if skipped := [line for line in lines if line.startswith("skip ")]:
        pytest.skip(skipped[0])
    assert f"ok {name}" in lines, output


@pytest.mark.parametrize("program", sorted(path.stem for path in HERE.glob("fuzz_*.c")))
def test_fuzz(program: str, tmp_path: Path) -> None:
    seeds = HERE / "corpus" / program.removeprefix("fuzz_")
    found = tmp_path / "corpus"
    found.mkdir()
    fuzz(build(program), FUZZ_SECONDS, 4096, tmp_path, found, *([seeds] if seeds.is_dir() else []))
