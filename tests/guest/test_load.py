"""Many clients at once, those in ``load``: order, loss, rules, monitors, checked message by message."""

from __future__ import annotations

import shutil

import pytest

from support.daemon import Daemon
from support.guest import IN_GUEST
from support.patience import patient
from support.ways import GROUP, WAYS, stats

from .conftest import Load

pytestmark = [
    pytest.mark.deviation("multicast"),
    pytest.mark.skipif(
        not (shutil.which("cc") and shutil.which("make")), reason="a C compiler builds the clients"
    ),
]
only_in_guest = pytest.mark.skipif(not IN_GUEST, reason="takes long; part of `make guest-test`")


def both_ways(bus: Daemon, way: str) -> None:
    """Nothing is proven by clients whose messages all went the same way."""
    totals = stats(bus.connect())
    assert (totals["DirectMessages"] > 0) == (way == GROUP)
    assert totals["DirectMessages"] < totals["MessagesReceived"]
    if way == GROUP:
        assert min(totals["DirectMessages"], totals["DirectAsked"]["dirty"]) * 20 > totals["MessagesReceived"]


class TestOrder:
    """Every receiver gets each sender's messages in the sender's order, none lost and none twice.

    Broadcasts come in the same order to all, and no message comes before one that its sender had got before.
    The clients send calls, replies, signals and broadcasts; change rules and names; send what is too big,
    what has descriptors, or more than a queue holds; look away for a while; and a monitor comes and goes.
    """

    @pytest.mark.parametrize("seed", range(3))
    def test_some(self, load: Load, bus: Daemon, way: str, seed: int) -> None:
        load("order", seed=seed, count=300, clients=6)
        both_ways(bus, way)

    @only_in_guest
    @pytest.mark.parametrize("way", WAYS[:1], indirect=True)
    @pytest.mark.parametrize(("seed", "clients"), [(10, 3), (11, 6), (12, 6), (13, 12)])
    def test_many(self, load: Load, bus: Daemon, way: str, seed: int, clients: int) -> None:
        load("order", seed=seed, count=4000, clients=clients, seconds=patient(300))
        both_ways(bus, way)


class TestRuleThenCall:
    """Specification, AddMatch: who then calls does not miss what the call is the cause of."""

    def test_some(self, load: Load, bus: Daemon, way: str) -> None:
        load("match", seed=1, count=500)
        both_ways(bus, way)

    @only_in_guest
    @pytest.mark.parametrize("way", WAYS[:1], indirect=True)
    @pytest.mark.parametrize("seed", range(10))
    def test_ten_thousand(self, load: Load, bus: Daemon, way: str, seed: int) -> None:
        load("match", seed=seed, count=10_000, seconds=patient(300))
        both_ways(bus, way)


class TestMonitor:
    """One that comes while others talk sees all of it once, from the first message that began after."""

    @pytest.mark.parametrize("count", [5, pytest.param(100, marks=only_in_guest)])
    def test_no_gap(self, load: Load, bus: Daemon, way: str, count: int) -> None:
        load("monitor", seed=1, count=count)
        assert (stats(bus.connect())["DirectMessages"] > 0) == (way == GROUP)
