"""Run the tests of the bus in a guest with the kernel module: a stock Debian kernel under QEMU.

    make guest-test                             all, with the group
    make guest-test TESTS=tests/bus/test_names.py
    make guest-test MULTICAST=off               through the relay, to compare

The host's files are the guest's, read-only. Results are left in build/guest.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TOOL = CHECKOUT / "kernel/tools/run-in-guest.sh"
RESULTS = CHECKOUT / "build/guest"
CONFORMANCE = CHECKOUT.parent / "shared/conformance"
CONFORMANCE_PACKAGES = ("dbus-daemon", "systemd-tests")
TESTS = ("tests/guest", "tests/bus", "tests/activation/test_services.py", "tests/crash")
PATIENCE = 6
"""Tests' deadlines are stretched by this. They are generous; the CPU is ten to thirty times slower."""


def in_guest(arguments: argparse.Namespace) -> int:
    """Boot the guest, run the tests there, show their output, and return an exit status."""
    conformance = CONFORMANCE.resolve() if CONFORMANCE.exists() and not arguments.no_conformance else None
    words = [CHECKOUT / "tests/guest/inside.sh", CHECKOUT, conformance or ""]
    words += ["-q", "-n", arguments.cpus, *arguments.tests]
    environment = f"OMNIBUS_TEST_PATIENCE={PATIENCE} OMNIBUS_MULTICAST={shlex.quote(arguments.multicast)}"
    command = f"{environment} {shlex.join(map(str, words))}"
    options = ["-k", arguments.kernel, "-c", arguments.cpus, "-m", "2048", "-t", str(60 * arguments.minutes)]
    options += ["-d", str(CHECKOUT)]
    if conformance:
        subprocess.run([CHECKOUT / ".ci/packages", *CONFORMANCE_PACKAGES], check=True)
        options += ["-d", str(conformance)]
    run = ["nice", "-n", "10", TOOL, *options, arguments.results, command]
    return subprocess.run(run, check=False).returncode


def tests(report: Path) -> list[str]:
    """Return lines for failed and skipped tests, measurements, and the totals."""
    if not report.exists():
        return ["tests: no report"]
    lines = []
    counts: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        counts["passed" if outcome is None else outcome.tag] += 1
        name = f"{case.get('classname')}.{case.get('name')}"
        lines += [f"note {name}: {note.get('value')}" for note in case.iter("property")]
        if outcome is not None:
            why = (outcome.get("message") or "").split("\n", 1)[0][:200]
            lines.append(f"{outcome.tag} {name}: {why}")
    return [*lines, "tests: " + tally(counts)]


def conformance_tests(table: Path) -> list[str]:
    """Return lines for the tests that did not pass, and the totals."""
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    rows = [row for row in rows if len(row) > 2]
    lines = ["\t".join(row) for row in rows if row[2] != "passed"]
    return [*lines, f"{table.stem}: {tally(Counter(row[2] for row in rows))}"]


def tally(counts: Counter[str]) -> str:
    """Format the count of each outcome."""
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())


def main() -> int:
    """Run the tests, sum up, and return an exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--multicast", default="require", help="auto, off, require")
    parser.add_argument("--kernel", default="6.1", help="series of the Debian kernel")
    parser.add_argument("--minutes", type=int, default=120, help="after which the guest is switched off")
    parser.add_argument("--cpus", default="2", help="of the guest, and workers of pytest")
    parser.add_argument("--no-conformance", action="store_true", help="without systemd's tests of sd-bus")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("tests", nargs="*", default=TESTS, help="arguments for pytest")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.results, ignore_errors=True)
    begin = time.monotonic()
    status = in_guest(arguments)
    lines = tests(arguments.results / "tests.xml")
    for table in sorted(arguments.results.glob("conformance/*.tsv")):
        lines += conformance_tests(table)
    print("\n".join(lines))
    minutes = (time.monotonic() - begin) / 60
    print(f"{'failed' if status else 'passed'}, multicast {arguments.multicast}, {minutes:.1f} minutes")
    return status


if __name__ == "__main__":
    sys.exit(main())
