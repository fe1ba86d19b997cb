#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Revert a fix in a copy of the tree, and check that the fuzzer finds the bug.

proof.py [F1|F2...] applies each patch of proof/ to its own copy, builds it with the sanitizers, and fuzzes
it for at most five minutes. It fails unless the expected bug was found.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SECONDS = 300
# The messages of the fuzzer or a sanitizer about it.
FINDS = {
    "F1": r"heap-buffer-overflow[\s\S]*(read_into_batch|receive)",
    "F2": r"IncomingMessages is|MessagesParked is|descriptors, not|IndexError",
}


def copy(patch: Path, to: Path) -> None:
    """Copy the tracked files, with their times, and apply the patch."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    files = [
        name for name in listed.decode().split("\0") if name and not name.startswith(("kernel/", "tests/"))
    ]
    for name in files:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, to / name, follow_symlinks=False)
    for part in ("kernel/include", "tests/sanitize"):
        shutil.copytree(ROOT / part, to / part)
    shutil.copy2(ROOT / "tests/targets.mk", to / "tests/targets.mk")
    subprocess.run(["patch", "-p1", "--no-backup-if-mismatch", "-i", patch], cwd=to, check=True)


def build(to: Path) -> Path:
    """Build the copy's data plane in place; the environment is that of the tree."""
    sane, venv = to / "sanitize", ROOT / ".venv"
    subprocess.run(
        ["make", "-s", "-C", to, f"VENV={venv}", f"SANE={sane}", "-o", f"{venv}/installed", f"{sane}/built"],
        check=True,
        capture_output=True,
    )
    return sane / "bin/omnibusd"


def fuzz(daemon: Path, seconds: int, seed: int) -> str:
    """Fuzz until something is found; return the output."""
    command = [
        sys.executable,
        HERE / "run.py",
        f"--daemon={daemon}",
        f"--seconds={seconds}",
        f"--seed={seed}",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


def prove(patch: Path, seed: int) -> bool:
    """Return whether the fuzzer finds the bug that the patch restores."""
    to = ROOT / "build/proof" / patch.stem
    copy(patch, to)
    daemon = build(to)
    began, found, output = time.monotonic(), False, ""
    while not found and (left := SECONDS - int(time.monotonic() - began)) > 0:
        output = fuzz(daemon, left, seed)
        found = re.search(FINDS[patch.stem], output) is not None
        seed += 1  # it found a different bug
    seconds = time.monotonic() - began
    print(f"{patch.stem}: {'found' if found else 'NOT FOUND'} after {seconds:.0f} s", flush=True)
    if found:
        shutil.rmtree(to)
    else:
        print(output)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("patches", nargs="*", help="F1, F2: these only")
    options = parser.parse_args()
    chosen = [HERE / f"proof/{name}.patch" for name in options.patches or sorted(FINDS)]
    missed = [patch for patch in chosen if not prove(patch, options.seed)]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
