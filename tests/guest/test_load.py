"""Many concurrent clients, from ``load``: order, loss, rules, monitors, checked message by message."""

from __future__ import annotations

import shutil

import pytest

from support.daemon import Daemon
from support.direct import GROUP, WAYS, stats
from support.guest import IN_GUEST
from support.timeouts import scaled

from .conftest import Load

pytestmark = [
    pytest.mark.deviation("multicast"),
    pytest.mark.skipif(
        not (shutil.which("cc") and shutil.which("make")), reason="a C compiler builds the clients"
    ),
]
only_in_guest = pytest.mark.skipif(not IN_GUEST, reason="takes long; part of `make guest-test`")


def both_ways(bus: Daemon, way: str) -> None:
    """Assert that some messages went directly and some through the bus: else the test proves little."""
    totals = stats(bus.connect())
    assert (totals["DirectMessages"] > 0) == (way == GROUP)
    assert totals["DirectMessages"] < totals["MessagesReceived"]
    if way == GROUP:
        assert min(totals["DirectMessages"], totals["DirectAsked"]["dirty"]) * 20 > totals["MessagesReceived"]


class TestOrder:
    """Every receiver gets each sender's messages in the sender's order, none lost and none twice.

    Broadcasts arrive in the same order at all, and no message before one that its sender had received. The
    clients send calls, replies, signals and broadcasts; change rules and names; send messages that are too
    big, have descriptors, or exceed a queue; stop reading for a while; and a monitor comes and goes.
    """

    @pytest.mark.parametrize("seed", range(3))
    def test_some(self, load: Load, bus: Daemon, way: str, seed: int) -> None:
        load("order", seed=seed, count=300, clients=6)
        both_ways(bus, way)

    @only_in_guest
    @pytest.mark.parametrize("way", WAYS[:1], indirect=True)
    @pytest.mark.parametrize(("seed", "clients"), [(10, 3), (11, 6), (12, 6), (13, 12)])
    def test_many(self, load: Load, bus: Daemon, way: str, seed: int, clients: int) -> None:
        load("order", seed=seed, count=4000, clients=clients, seconds=scaled(300))
        both_ways(bus, way)


class TestRuleThenCall:
    """Specification, AddMatch: a client that then makes a call does not miss signals that the call causes."""

    def test_some(self, load: Load, bus: Daemon, way: str) -> None:
        load("match", seed=1, count=500)
        both_ways(bus, way)

    @only_in_guest
    @pytest.mark.parametrize("way", WAYS[:1], indirect=True)
    @pytest.mark.parametrize("seed", range(10))
    def test_ten_thousand(self, load: Load, bus: Daemon, way: str, seed: int) -> None:
        load("match", seed=seed, count=10_000, seconds=scaled(300))
        both_ways(bus, way)


class TestMonitor:
    """A monitor that comes under load sees everything once, from the first message sent after it is one."""

    @pytest.mark.parametrize("count", [5, pytest.param(100, marks=only_in_guest)])
    def test_no_gap(self, load: Load, bus: Daemon, way: str, count: int) -> None:
        load("monitor", seed=1, count=count)
        assert (stats(bus.connect())["DirectMessages"] > 0) == (way == GROUP)
