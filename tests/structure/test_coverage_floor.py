"""A floor for the lines of Python that the quick tests pass; `make coverage` counts all tests, and C."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support.objects import CHECKOUT

DAEMON = (
    *("accept", "bus", "codec", "credentials", "driver", "handshake", "inspection", "names", "options"),
    *("poller", "quick_names", "reload", "signature", "statistics"),
)
QUICK = (
    *("auth", "systemd", "activation/test_activation.py", "activation/test_systemd.py"),
    *(f"daemon/test_{name}.py" for name in DAEMON),
)
"""Tests without processes of their own: half a minute of one processor."""

FLOORS = {"auth/": 95, "daemon/activation/": 85, "daemon/driver/": 90, "systemd/": 90}
"""Per cent of the lines in the files of a folder that these tests import. A floor only rises."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """By file, relative to the checkout: how many lines of code it has, and how many were passed."""
    directory = tmp_path_factory.mktemp("coverage")
    coverage = (sys.executable, "-m", "coverage")
    data, report = f"--data-file={directory / 'data'}", directory / "report.json"
    tests = [f"tests/{name}" for name in QUICK]
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--deselect=tests/auth/test_clients.py")
    command = [*coverage, "run", data, "--source=omnibus", "-m", "pytest", *options, *tests]
    ran = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    subprocess.run([*coverage, "json", data, "-q", "-o", report], cwd=CHECKOUT, check=True)
    found = json.loads(report.read_text())["files"]
    return {
        str((CHECKOUT / path).resolve().relative_to(CHECKOUT)): (one["num_statements"], one["covered_lines"])
        for path, one in ((path, one["summary"]) for path, one in found.items())
        if one["covered_lines"]
    }


@pytest.mark.parametrize("folder", FLOORS)
def test_folder(files: dict[str, tuple[int, int]], folder: str) -> None:
    counted = [lines for path, lines in files.items() if path.startswith(folder)]
    total, passed = (sum(column) for column in zip(*counted, strict=True))
    assert 100 * passed >= FLOORS[folder] * total, f"{passed} of {total} lines"
