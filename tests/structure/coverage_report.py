"""What the tests pass of our Python and C, line by line: `make coverage` runs them and prints this.

    python -m structure.coverage_report ENVIRONMENT     in tests/, with .venv/bin/python

ENVIRONMENT is what the Makefile makes: `data` is where all processes wrote what they passed, `programs` has
those that the tests compiled, `relay` the C tests. The exit status is 1 if a part of the tree is below FLOOR.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from coverage import Coverage

from relay.coverage import sources
from support.objects import CHECKOUT, RELAY_TESTS

FLOOR = 90.0
"""Per cent of the lines of each language in each of the parts."""
PARTS = ("daemon/", "transport/")
PACKAGE = ("auth/", "daemon/", "policy/", "transport/", "__init__.py", "record.py")

Lines = dict[str, tuple[int, int]]
"""By file: how many lines of code it has, and how many of them were passed."""


def package(environment: Path) -> Path:
    """Return the copy of the package."""
    (found,) = environment.glob("lib/python*/site-packages/omnibus")
    return found


def python_lines(environment: Path) -> Lines:
    """Combine what all processes wrote, and map the copy of the package to the checkout."""
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.json"
        coverage = Coverage(data_file=str(Path(name) / "combined"), config_file=False)
        coverage.set_option("paths", {"package": [str(CHECKOUT), str(package(environment))]})
        coverage.combine([str(path) for path in environment.glob("data/python.*")], keep=True)
        coverage.json_report(outfile=str(report), include=[f"{CHECKOUT}/*"])
        files = json.loads(report.read_text())["files"]
    found = {os.path.relpath(path, CHECKOUT): one["summary"] for path, one in files.items()}
    return {
        path: (one["num_statements"], one["covered_lines"])
        for path, one in sorted(found.items())
        if path.startswith(PACKAGE) and one["num_statements"]
    }


def run_c_tests(directory: Path) -> list[Path]:
    """Run the C tests, each with a profile beside it, and return them."""
    programs = [directory / path.stem for path in sorted(RELAY_TESTS.glob("test_*.c"))]
    for program in programs:
        environment = os.environ | {"LLVM_PROFILE_FILE": f"{program}.profraw"}
        subprocess.run([program], env=environment, stdout=subprocess.DEVNULL, check=True)
    return programs


def c_lines(environment: Path) -> Lines:
    """Merge the profiles of native modules, launch helpers and C tests."""
    programs = run_c_tests(environment / "relay")
    profiles = [*environment.glob("data/*.profraw"), *environment.glob("relay/*.profraw")]
    helpers = [path for path in environment.glob("programs/*") if os.access(path, os.X_OK)]
    objects = [*package(environment).rglob("*.so"), *helpers, *programs]
    with tempfile.TemporaryDirectory() as name:
        merged = Path(name) / "merged"
        subprocess.run(["llvm-profdata", "merge", "-sparse", *profiles, "-o", merged], check=True)
        command = ["llvm-cov", "export", "-format=lcov", f"-instr-profile={merged}", objects[0]]
        for one in objects[1:]:
            command += ["-object", one]
        exported = subprocess.run(command, capture_output=True, text=True, check=True)
    return {
        path: (len(one.counts), sum(count > 0 for count in one.counts.values()))
        for path, one in sources(exported.stdout, PARTS)
    }


def table(language: str, lines: Lines) -> Iterator[str]:
    """Yield the rows of all files, the worst first, and of the parts."""
    yield f"\n{language:50}{'lines':>8}{'passed':>8}{'per cent':>10}"
    rows = dict.fromkeys(PARTS, (0, 0))
    for path, (all_lines, passed) in lines.items():
        for part in filter(path.startswith, PARTS):
            rows[part] = (rows[part][0] + all_lines, rows[part][1] + passed)
    for path, (all_lines, passed) in [*sorted(lines.items(), key=lambda one: share(*one[1])), *rows.items()]:
        yield f"{path:50}{all_lines:8,}{passed:8,}{share(all_lines, passed):10.1f}"
    for part, counted in rows.items():
        if share(*counted) < FLOOR:
            yield f"below {FLOOR} per cent: the {language} of {part}"


def share(lines: int, passed: int) -> float:
    """Per cent; of nothing, all."""
    return 100.0 * passed / lines if lines else 100.0


def main() -> None:
    """Print both tables."""
    environment = Path(sys.argv[1]).resolve()
    rows = [*table("Python", python_lines(environment)), *table("C", c_lines(environment))]
    print(*rows, sep="\n")
    sys.exit(any(row.startswith("below") for row in rows))


if __name__ == "__main__":
    main()
