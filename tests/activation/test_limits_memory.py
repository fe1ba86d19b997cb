"""dbus-daemon(1), max_pending_service_starts: at the limit, and the cost of a message that waits there."""

from __future__ import annotations

import pytest

from support.daemon import Daemon
from support.raw import BUS, BUS_PATH, ERROR, BusError, Client

from .conftest import Services

NAME = "org.example.Service"
LIMIT = 400


def settle(client: Client) -> None:
    """Everything before it has been seen by the control plane."""
    client.driver("ListQueuedOwners", "s", BUS)


def park(daemon: Daemon, client: Client, count: int) -> float:
    """Start calls of a service that never comes; return the bytes that each cost."""
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
