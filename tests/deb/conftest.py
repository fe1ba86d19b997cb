"""Booted machines with Debian's suites. Needs root and the packages of `make deb`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.debs import BUILT, Suite
from support.overlay import Memory

# Of other releases than this machine: systemd has given the older form of control groups up.
UNIFIED = "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"


def pytest_configure(config: pytest.Config) -> None:
    if os.geteuid() != 0:
        pytest.exit("booting containers takes root: make deb-test", 1)
    os.environ[UNIFIED] = "1"


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """The file system for everything that the machines change."""
    directory = Path(tempfile.mkdtemp(prefix="omnibus-deb-"))
    memory = Memory(directory)
    yield directory
    memory.unmount()
    directory.rmdir()


@pytest.fixture(scope="session", params=sorted(path.name for path in BUILT.glob("*")))
def suite_name(request: pytest.FixtureRequest) -> str:
    """Each suite that packages were built for."""
    return str(request.param)


@pytest.fixture(scope="session")
def suite(suite_name: str, memory: Path) -> Suite:
    """Machines with it."""
    return Suite(suite_name, memory)
