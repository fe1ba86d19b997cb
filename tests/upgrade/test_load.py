"""Upgrades under load: nothing is lost, doubled, reordered or cut off.

``make upgrade-test`` does a hundred, also with a thousand idle clients and ten thousand match rules, and
prints a table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from support.daemon import read_line

from .conftest import Bus, StartBus
from .load import Result

LOAD = Path(__file__).with_name("load.py")
UPGRADES = int(os.environ.get("UPGRADES", "2"))
ROWS: list[str] = []


class Running:
    """A process that loads a bus."""

    def __init__(self, bus: Bus, *numbers: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, LOAD, bus.daemon.address, *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert read_line(self.process.stdout.fileno(), 300) == "ready\n"

    def end(self) -> Result:
        out, _ = self.process.communicate(timeout=300)
        return Result(**json.loads(out))


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print what was measured, at the end."""
    yield
    if "UPGRADES" in os.environ:
        print(
            "\n| load | upgrades | sent | lost | wrong | longest wait | pause: median | longest |"
            "\n|---|---|---|---|---|---|---|---|"
        )
        print(*ROWS, sep="\n")


@pytest.mark.parametrize(
    "name, upgrades, numbers",
    [
        ("saturating", UPGRADES, (4, 2, 1, 0, 0)),
        pytest.param(
            "1,000 clients, 10,000 rules",
            max(1, UPGRADES // 20),
            (4, 2, 1, 1000, 10),
            marks=pytest.mark.skipif("UPGRADES" not in os.environ, reason="make upgrade-test"),
        ),
    ],
    ids=["saturating", "many"],
)
def test_nothing_is_lost(start_bus: StartBus, name: str, upgrades: int, numbers: tuple[int, ...]) -> None:
    # A rehearsal has low priority, and the load takes whatever the processors have.
    bus = start_bus("--rehearsal-seconds=120")
    asking = bus.connect(deadline=150)
    load = Running(bus, *numbers)
    try:
        for _ in range(upgrades):
            bus.upgrade(asking)
    finally:
        result = load.end()
    sent = f"{result.calls} calls, {result.signals} signals, {result.descriptors} descriptors"
    wait = f"{1000 * result.longest:.0f} ms"
    pauses = f"{1000 * median(bus.pauses):.0f} ms | {1000 * max(bus.pauses):.0f} ms"
    ROWS.append(f"| {name} | {upgrades} | {sent} | {result.lost} | {result.wrong} | {wait} | {pauses} |")
    assert result.calls and result.signals and result.descriptors
    assert (result.lost, result.wrong, result.errors, result.cut_off) == (0, 0, 0, 0)
