"""Run the tests of the bus in a guest whose kernel has the group: a stock Debian kernel under QEMU, software emulation.

    make guest-test                             all, with the group on
    make guest-test TESTS=tests/bus/test_names.py
    make guest-test MULTICAST=off               on the relay, to compare

The host's files are the guest's, read-only. Results are left in build/guest.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TOOLS = CHECKOUT / "kernel/tools"
RESULTS = CHECKOUT / "build/guest"
CONFORMANCE = CHECKOUT.parent / "shared/conformance"
TESTS = ("tests/bus", "tests/activation/test_services.py")
PATIENCE = 6
"""Tests' deadlines are stretched by this: an emulated CPU is ten to thirty times slower, but they are generous."""
COMPLAINTS = re.compile(r"WARNING|BUG|Oops|general protection|RCU stall|possible deadlock|refcount_t")


def tool(name: str, *arguments: str | Path) -> str:
    """Run one of the kernel's tools and return the line that it prints."""
    done = subprocess.run([TOOLS / name, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def prepare(series: str) -> tuple[Path, Path]:
    """Return the folders of a kernel and of the module for it."""
    tool("install-packages.sh", "test")
    kernel = Path(tool("fetch-kernel.sh", series))
    return kernel, Path(tool("build-module.sh", kernel))


def boot(
    kernel: Path, results: Path, command: str, options: tuple[str, ...], directories: tuple[Path, ...] = ()
) -> int:
    """Boot a guest, run a shell command in it, show what it prints, and return its exit status."""
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    seen = [part for directory in directories for part in ("-d", str(directory))]
    arguments = [TOOLS / "boot.sh", *options, *seen, kernel, results, command]
    process = subprocess.Popen(["nice", "-n", "10", *map(str, arguments)])
    output = results / "output"
    shown = 0
    while True:
        ended = process.poll() is not None
        if output.exists():
            with output.open("rb") as file:
                file.seek(shown)
                new = file.read()
            shown += len(new)
            sys.stdout.write(new.decode(errors="replace"))
            sys.stdout.flush()
        if ended:
            break
        time.sleep(1)
    status = results / "status"
    return int(status.read_text()) if status.exists() else 1


def summary(results: Path) -> list[str]:
    """Count the tests, name those that failed or were left out, and say what the kernel complained about."""
    lines = []
    report = results / "tests.xml"
    if report.exists():
        counts: Counter[str] = Counter()
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}"
            outcome = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
            counts["passed" if outcome is None else outcome.tag] += 1
            if outcome is not None:
                lines.append(f"{outcome.tag} {name}: {(outcome.get('message') or '').splitlines()[0][:200]}")
        lines.append("tests: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))
    else:
        lines.append("tests: no report")
    for table in sorted(results.glob("conformance/*.tsv")):
        rows = [line.split("\t") for line in table.read_text().splitlines()]
        counts = Counter(row[2] for row in rows if len(row) > 2)
        lines.append(f"{table.stem}: " + ", ".join(f"{count} {word}" for word, count in counts.most_common()))
    return lines


def complaints(results: Path) -> list[str]:
    """What the guest's kernel did not like."""
    log = results / "dmesg"
    return [line for line in log.read_text().splitlines() if COMPLAINTS.search(line)] if log.exists() else []


def main() -> int:
    """Run the tests and return an exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--multicast", default="require", help="auto, off, require; '' for no option at all")
    parser.add_argument("--kernel", default="6.1", help="series of the Debian kernel")
    parser.add_argument("--minutes", type=int, default=120, help="after which the guest is switched off")
    parser.add_argument("--cpus", default="2", help="of the guest, and workers of pytest")
    parser.add_argument("--no-conformance", action="store_true", help="without systemd's tests of sd-bus")
    parser.add_argument("tests", nargs="*", default=TESTS, help="arguments for pytest")
    arguments = parser.parse_args()

    kernel, module = prepare(arguments.kernel)
    conformance = CONFORMANCE if CONFORMANCE.exists() and not arguments.no_conformance else None
    environment = f"OMNIBUS_TEST_PATIENCE={PATIENCE} OMNIBUS_MULTICAST={shlex.quote(arguments.multicast)}"
    words = [CHECKOUT / "tests/guest/inside.sh", CHECKOUT, module, conformance or ""]
    words += ["-q", "-n", arguments.cpus, *arguments.tests]
    command = f"{environment} {shlex.join(map(str, words))}"
    options = ("-c", arguments.cpus, "-m", "2048", "-t", str(60 * arguments.minutes))
    directories = [CHECKOUT, module]
    if conformance:
        directories.append(conformance.resolve())
    begin = time.monotonic()
    status = boot(kernel, RESULTS, command, options, tuple(directories))
    complained = complaints(RESULTS)
    print("\n".join([*summary(RESULTS), *complained]))
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes, multicast: {arguments.multicast or 'not asked for'}")
    return 1 if status or complained else 0


if __name__ == "__main__":
    sys.exit(main())
