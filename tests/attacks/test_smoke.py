"""Each attack works, and the bus is alive after a moment of it; `make attack-test` tests the limits."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator

import pytest

from omnibus.bench.daemons import OURS
from omnibus.bench.settings import Setting
from support.attacks import ATTACKS, Attack, Bus, build, bus, running
from support.raw import DEADLINE, Client

SECONDS = 0.1

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an attacker is another user")


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[[Setting], Bus]]:
    """One bus for each setting, on which all attacks run one after the other."""
    build()
    running: dict[str, Bus] = {}
    with contextlib.ExitStack() as stack:

        def once(setting: Setting) -> Bus:
            if setting.name not in running or not running[setting.name].alive():
                running[setting.name] = stack.enter_context(bus(OURS, setting))
            return running[setting.name]

        yield once


def connect(address: str) -> Client:
    """Connect. The queue of connections that wait to be accepted is full at times, by some attacks."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return Client(address)
        except BlockingIOError:
            assert time.monotonic() < deadline, "the bus accepts nothing"
            os.sched_yield()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.title)
def test_the_bus_answers_while_attacked(start: Callable[[Setting], Bus], attack: Attack) -> None:
    daemon = start(attack.setting)
    with running(attack, daemon.address, SECONDS, smoke=True) as process:
        with contextlib.closing(connect(daemon.address)) as client:
            assert client.driver("GetId")
        done = process.result()
        assert daemon.alive(), daemon.log()
    assert not done["error"]
    assert done["harm"]
