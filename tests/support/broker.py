"""A bare dbus-broker for a test, with the controller of the benchmarks, since its launcher needs systemd."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from omnibus.bench.daemons import BROKER, Daemon
from omnibus.bench.settings import WIDE


@contextmanager
def broker(directory: Path) -> Iterator[Daemon]:
    """Start one in a new directory; skip the test without the program."""
    if shutil.which(BROKER) is None:
        pytest.skip("dbus-broker is not installed")
    daemon = Daemon(BROKER, BROKER, WIDE, directory / "broker")
    try:
        yield daemon
    finally:
        daemon.stop()
