"""Messages sent directly between clients while the daemon sleeps; `make guest-test` has a kernel for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.message import Type
from support.raw import Client

from .conftest import Connect

pytestmark = [
    pytest.mark.deviation("multicast"),
    pytest.mark.skipif(not os.path.exists("/dev/unix_multicast"), reason="this kernel has no groups"),
]
LEARNT = 60
"""Messages of a kind, each followed by a reply, after which they must be sent directly."""
COUNT = 50


def turns(daemon: Daemon) -> int:
    """Return how often the thread of the daemon's data plane was scheduled.

    Python's is left out: it begins to watch files some time after the start, or after a reload.
    """
    threads = Path(f"/proc/{daemon.pid}/task").glob("*/schedstat")
    return sum(
        int(thread.read_text().split()[2]) for thread in threads if thread.parent.name != str(daemon.pid)
    )


def call_and_answer(caller: Client, callee: Client, count: int) -> None:
    for number in range(count):
        serial = caller.start_call(callee.unique, "Echo", "u", number)
        callee.reply(callee.take(type=Type.METHOD_CALL, member="Echo"), "u", number)
        assert caller.reply_to(serial).body == (number,)


class TestDaemonSleeps:
    @pytest.fixture(autouse=True)
    def settled(self, client: Client) -> None:
        """The reload starts the watch of the configuration, which otherwise starts after a second."""
        client.driver("ReloadConfig")

    def test_calls_and_replies(self, bus: Daemon, client: Client, other: Client) -> None:
        call_and_answer(client, other, LEARNT)
        before = turns(bus)
        call_and_answer(client, other, COUNT)
        assert turns(bus) - before < COUNT / 5

    def test_signals(self, bus: Daemon, connect: Connect, client: Client) -> None:
        listeners = [connect() for _ in range(4)]
        for listener in listeners:
            listener.match("type='signal',member='Tick'")

        def tick(count: int) -> None:
            for number in range(count):
                client.signal("Tick", "u", number)
                for listener in listeners:
                    assert listener.take(member="Tick").body == (number,)

        tick(LEARNT)
        before = turns(bus)
        tick(COUNT)
        assert turns(bus) - before < COUNT / 5
