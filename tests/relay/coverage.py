#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Line coverage of the relay's C by the fuzz targets, as a table.

Each target is fuzzed for a while from its checked-in corpus. Then a build that counts lines runs all of
both corpora, twice: with failing allocations, and without. ``failed_allocations.txt`` lists the lines that
only the first run reaches, by function and text; they do not count. A row whose line the second run reached
by luck of the fuzzing is named and counts as covered. The exit status is 1 if a file of transport/relay/ is
below ``LEAST``, or if a row of the list matches no line of code.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIST = HERE / "failed_allocations.txt"
LEAST = 85.0  # per cent
STRICT = "transport/relay/"
NOT_FUZZED = {
    "transport/relay/api/standby.c": "a process of its own: tests/crash",
    "transport/relay/api/standby_trim.c": "likewise",
    "transport/relay/base/shared_heap.c": "replaced by the sanitizer's: test_shared_heap.c",
    "transport/relay/resume/salvage.c": "its input is a dead process: test_salvage.c, at every moment",
}
"""Files that read nothing from outside, and what tests them instead."""
COUNTED = (STRICT, "transport/multicast/")
WITHOUT_FAILURES = {"FUZZ_WITHOUT_FAILED_ALLOCATIONS": "1"}

Row = tuple[str, str, str]  # a file from the root of the tree, a function, and the text of a line


@dataclass
class Source:
    """One file: the execution count of each line of code, and the first lines of its functions."""

    counts: dict[int, int] = field(default_factory=dict)
    functions: dict[int, str] = field(default_factory=dict)

    def function(self, line: int) -> str:
        return self.functions.get(max((at for at in self.functions if at <= line), default=0), "")


def targets() -> list[str]:
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c"))


def make(build: Path, flags: str) -> None:
    programs = [str(build / f"fuzz_{target}") for target in targets()]
    subprocess.run(
        ["make", "-s", f"-j{os.cpu_count()}", "-C", HERE, f"BUILD={build}", *programs],
        env=os.environ | {"CFLAGS": flags},
        check=True,
    )


def fuzz(build: Path, target: str, seconds: int) -> None:
    """Fuzz one target; new inputs go to the build directory."""
    ran = subprocess.run(
        ["make", "-s", "-C", HERE, f"BUILD={build}", f"FUZZ_SECONDS={seconds}", f"fuzz-{target}"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ran.returncode:
        sys.exit((ran.stdout + ran.stderr)[-8000:])
    speed = re.search(r"average_exec_per_sec: +(\d+)", ran.stderr)
    print(f"fuzz_{target}: {speed[1] if speed else 'unknown'} inputs a second", file=sys.stderr)


def run(build: Path, corpora: Path, environment: dict[str, str], name: str) -> dict[str, Source]:
    """Run all targets with all of their inputs; return their coverage by file."""
    profiles = []
    for target in targets():
        profile = build / f"{target}.{name}.profraw"
        inputs = [path for path in (HERE / "corpus" / target, corpora / target) if path.is_dir()]
        subprocess.run(
            [build / f"fuzz_{target}", "-runs=0", "-timeout=30", *inputs],
            env=os.environ | environment | {"LLVM_PROFILE_FILE": str(profile)},
            stderr=subprocess.DEVNULL,
            check=True,
        )
        profiles.append(profile)
    merged = build / f"{name}.profdata"
    subprocess.run(["llvm-profdata", "merge", "-sparse", *profiles, "-o", merged], check=True)
    first, *others = [str(build / f"fuzz_{target}") for target in targets()]
    objects = [argument for other in others for argument in ("-object", other)]
    exported = subprocess.run(
        ["llvm-cov", "export", "-format=lcov", f"-instr-profile={merged}", first, *objects],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(sources(exported.stdout))


def sources(lcov: str, counted: tuple[str, ...] = COUNTED) -> Iterator[tuple[str, Source]]:
    """Yield the files below these folders with their paths from the root, as llvm-cov exports them."""
    for record in lcov.split("end_of_record\n"):
        named = re.search(r"^SF:(.*)$", record, re.MULTILINE)
        path = os.path.relpath(named[1], ROOT) if named else ""
        if not path.startswith(counted):
            continue
        source = Source()
        for line, name in re.findall(r"^FN:(\d+),(?:.*:)?(\w+)$", record, re.MULTILINE):
            source.functions[int(line)] = name
        text = (ROOT / path).read_text().splitlines()
        for line, count in re.findall(r"^DA:(\d+),(\d+)", record, re.MULTILINE):
            if not text[int(line) - 1].startswith(
                "#"
            ):  # a macro runs where it is used, not where it is defined
                source.counts[int(line)] = int(count)
        if source.counts:
            yield path, source


def listed() -> list[Row]:
    """Return the rows of the list: path, function and text, separated by a colon and a space."""
    rows: list[Row] = []
    for line in LIST.read_text().splitlines() if LIST.exists() else []:
        if line and not line.startswith("#"):
            path, function, text = line.split(": ", 2)
            rows.append((path, function, text))
    return rows


def only_by_failures(with_failures: dict[str, Source], without: dict[str, Source]) -> dict[Row, list[int]]:
    """Return the lines that only a failed allocation reaches."""
    rows: dict[Row, list[int]] = {}
    for path, source in sorted(with_failures.items()):
        text = (ROOT / path).read_text().splitlines()
        for line, count in sorted(source.counts.items()):
            if count and not without[path].counts[line]:
                rows.setdefault((path, source.function(line), text[line - 1].strip()), []).append(line)
    return rows


def without_a_line(rows: list[Row], found: dict[str, Source]) -> list[Row]:
    """Return the rows of the list that match no line of code."""
    known = {
        (path, source.function(line), text[line - 1].strip())
        for path, source in found.items()
        for text in [(ROOT / path).read_text().splitlines()]
        for line in source.counts
    }
    return [row for row in rows if row not in known]


def write_list(rows: dict[Row, list[int]]) -> None:
    head = "# Lines that only a failed allocation reaches; written and checked by coverage.py.\n"
    LIST.write_text(head + "".join(f"{path}: {function}: {text}\n" for path, function, text in sorted(rows)))


def table(without: dict[str, Source], excluded: dict[Row, list[int]]) -> bool:
    """Print the table; return whether no file is below the required coverage."""
    enough = True
    print("| file | lines | covered | excluded | per cent |\n|---|---:|---:|---:|---:|")
    for path, source in sorted(without.items()):
        left_out = {line for row, lines in excluded.items() if row[0] == path for line in lines}
        covered = sum(count > 0 for count in source.counts.values())
        lines = len(source.counts)
        share = 100.0 * covered / max(lines - len(left_out), 1)
        enough &= share >= LEAST or not path.startswith(STRICT) or path in NOT_FUZZED
        print(f"| `{path}` | {lines} | {covered} | {len(left_out)} | {share:.1f} |")
        if os.environ.get("SHOW") and share < 100:
            for line, count in sorted(source.counts.items()):
                if not count and line not in left_out:
                    print(f"    {path}:{line} {source.function(line)}", file=sys.stderr)
    return enough


def main() -> int:
    parser = argparse.ArgumentParser(description="What the fuzz targets reach of the relay's C")
    parser.add_argument("--seconds", type=int, default=60, help="of fuzzing before, for each target")
    parser.add_argument("--build", type=Path, default=HERE / "build")
    parser.add_argument("--write", action="store_true", help="write the list of what only failures reach")
    options = parser.parse_args()
    counting = options.build / "coverage"
    if options.seconds:
        make(options.build, "-O1 -g")
    make(counting, "-O1 -g -fprofile-instr-generate -fcoverage-mapping")
    for target in targets() if options.seconds else []:
        fuzz(options.build, target, options.seconds)
    found = options.build / "corpus" if options.seconds else Path(os.devnull)
    with_failures = run(counting, found, {}, "with")
    without = run(counting, found, WITHOUT_FAILURES, "without")
    rows = only_by_failures(with_failures, without)
    if options.write:
        write_list(rows)
    for row in [row for row in listed() if row not in rows]:
        print("reached without a failed allocation, or not at all:", ": ".join(row), file=sys.stderr)
    strangers = without_a_line(listed(), without)
    for row in strangers:
        print("no line of code:", ": ".join(row), file=sys.stderr)
    enough = table(without, {row: rows[row] for row in listed() if row in rows})
    return 0 if enough and not strangers else 1


if __name__ == "__main__":
    sys.exit(main())
