"""Buses that are killed under load: at most one message is lost each time, and no connection.

``make crash-test`` kills a thousand, and prints a table.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest
from upgrade.running import TABLE, Running, row

from .conftest import StartBus

CRASHES = int(os.environ.get("CRASHES", "5"))
ROWS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print what was measured, at the end."""
    yield
    if "CRASHES" in os.environ:
        print(TABLE, *ROWS, sep="\n")


def test_a_message_at_most_is_lost(start_bus: StartBus) -> None:
    """A call that is lost has an answer: NoReply."""
    bus = start_bus()
    load = Running(bus.daemon.address, 4, 2, 1, 20, 5)
    moments = random.Random(42)
    try:
        for _ in range(CRASHES):
            assert bus.standby
            time.sleep(moments.uniform(0, 0.1))  # the moment of the crash, not a wait
            bus.crash()
            bus.wait()
    finally:
        result = load.end()
    ROWS.append(row(f"{CRASHES} kills", result))
    assert result.calls and result.signals and result.descriptors
    assert (result.cut_off, result.unanswered) == (0, 0)
    assert result.lost <= CRASHES
    assert result.wrong <= result.lost
