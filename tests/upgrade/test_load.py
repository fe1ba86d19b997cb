"""Upgrades under load: nothing is lost, doubled, reordered or cut off.

``make upgrade-test`` does a hundred, also with a thousand idle clients and ten thousand match rules, and
prints a table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from statistics import median

import pytest

from .conftest import StartBus
from .running import Running

UPGRADES = int(os.environ.get("UPGRADES", "2"))
ROWS: list[str] = []


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
    load = Running(bus.daemon.address, *numbers)
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
