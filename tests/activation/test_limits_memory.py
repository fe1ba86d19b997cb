"""dbus-daemon(1), max_pending_service_starts: the limit, and the memory of a parked message."""

from __future__ import annotations

import pytest

from support.daemon import Daemon
from support.raw import BUS, BUS_PATH, ERROR, BusError, Client

from .conftest import Services

NAME = "org.example.Service"
LIMIT = 400


def settle(client: Client) -> None:
    """The control plane has processed everything before it."""
    client.driver("ListQueuedOwners", "s", BUS)


def park(daemon: Daemon, client: Client, count: int) -> float:
    """Send calls to a service that never starts; return the bytes per call."""
    before = daemon.memory()
    for _ in range(count):
        client.start_call(NAME, "Hail")
    settle(client)
    return (daemon.memory() - before) / count


class TestPendingServiceStarts:
    def test_limit(self, services: Services) -> None:
        services.add(NAME, "/bin/sleep 60")
        daemon = services.start(limits={"max_pending_service_starts": LIMIT})
        client, other = daemon.connect(), daemon.connect()
        settle(other)
        park(daemon, client, LIMIT // 2)
        cost = park(daemon, client, LIMIT - LIMIT // 2 - 1)
        client.start_call(NAME, "Last")
        with pytest.raises(BusError) as caught:
            other.reply_to(other.start_call(NAME, "Beyond"))
        assert caught.value.name == ERROR + "LimitsExceeded"
        assert f"(max_pending_service_starts={LIMIT})" in caught.value.text
        assert other.call(BUS, "GetId", interface=BUS, path=BUS_PATH)
        print(f"\na message that waits for a service: {cost:.0f} bytes each")
        assert cost < 4000
