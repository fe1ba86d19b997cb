"""Upgrades under load: nothing is lost, doubled, reordered or cut off.

``make upgrade-test`` does a hundred, also with a thousand idle clients and ten thousand match rules, and
prints tables of what was sent and of how long clients waited.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from statistics import median

import pytest

from .conftest import Bus, StartBus
from .load import LATE, Result
from .running import TABLE, Running, row

UPGRADES = int(os.environ.get("UPGRADES", "2"))
SENT: list[str] = []
WAITS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print what was measured, at the end."""
    yield
    if "UPGRADES" in os.environ:
        print(TABLE, *SENT, sep="\n")
        print(
            "\n| load | pause: median | longest | longest wait in each: median | 95 of 100 below | longest |"
            " below 100 ms |\n|---|---|---|---|---|---|---|"
        )
        print(*WAITS, sep="\n")


def waits(result: Result, bus: Bus) -> list[float]:
    """Return the longest wait of a client in each upgrade, rehearsal included, the shortest first."""
    return sorted(
        max((wait for when, wait in result.late if begin <= when <= end), default=LATE)
        for begin, end in bus.upgraded
    )


def describe_waits(what: str, result: Result, bus: Bus) -> str:
    found = waits(result, bus)
    most = found[max(0, (95 * len(found) + 99) // 100 - 1)]
    times = (median(bus.pauses), max(bus.pauses), median(found), most, found[-1])
    texts = " | ".join(f"{1000 * one:.0f} ms" for one in times)
    return f"| {what} | {texts} | {sum(one < 0.1 for one in found)} of {len(found)} |"


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
    what = f"{upgrades} upgrades, {name}"
    SENT.append(row(what, result))
    WAITS.append(describe_waits(what, result, bus))
    assert result.calls and result.signals and result.descriptors
    assert (result.lost, result.wrong, result.errors, result.cut_off) == (0, 0, 0, 0)
