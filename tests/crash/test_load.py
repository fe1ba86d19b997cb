"""Buses that are killed under load: at most one message is lost each time, and no connection.

``make crash-test`` kills a thousand, and prints a table.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from upgrade.load import Result

from support.daemon import read_line

from .conftest import Bus, StartBus

LOAD = Path(__file__).parents[1] / "upgrade/load.py"
CRASHES = int(os.environ.get("CRASHES", "5"))
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
    if "CRASHES" in os.environ:
        print("\n| kills | sent | lost | calls with NoReply | out of order | cut off | longest wait |")
        print("|---|---|---|---|---|---|---|")
        print(*ROWS, sep="\n")


def test_a_message_at_most_is_lost(start_bus: StartBus) -> None:
    """A call that is lost has an answer: NoReply."""
    bus = start_bus()
    load = Running(bus, 4, 2, 1, 20, 5)
    moments = random.Random(42)
    try:
        for _ in range(CRASHES):
            assert bus.standby
            time.sleep(moments.uniform(0, 0.1))  # the moment of the crash, not a wait
            bus.crash()
            bus.wait()
    finally:
        result = load.end()
    sent = f"{result.calls} calls, {result.signals} signals, {result.descriptors} descriptors"
    wait = f"{1000 * result.longest:.0f} ms"
    counts = f"{result.lost} | {result.errors} | {result.wrong} | {result.cut_off}"
    ROWS.append(f"| {CRASHES} | {sent} | {counts} | {wait} |")
    assert result.calls and result.signals and result.descriptors
    assert (result.cut_off, result.unanswered) == (0, 0)
    assert result.lost <= CRASHES
    assert result.wrong <= result.lost
