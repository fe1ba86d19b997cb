"""Each attack works, and the bus is alive after a moment of it; `make attack-test` has the limits."""

from __future__ import annotations

import os

import pytest

from omnibus.bench.daemons import OURS
from support.attacks import ATTACKS, Attack, build, bus, playing
from support.raw import Client

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an attacker is another user")


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.title)
def test_the_bus_answers_while_attacked(attack: Attack) -> None:
    build()
    with bus(OURS, attack.setting) as daemon, playing(attack, daemon.address, 0.3, smoke=True) as play:
        assert Client(daemon.address).driver("GetId")
        done = play.result()
        assert daemon.alive(), daemon.log()
    assert not done["error"]
    assert done["harm"]
