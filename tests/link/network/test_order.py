"""Order on three buses: 100,000 messages of two services, with 64 calls under way to each."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.message import Type
from support.raw import Client

from ..hosts import Hosts, linked_hosts

UNDER_WAY = 64
SIGNALS = 8  # before each reply
CALLS = 100_000 // (2 * (SIGNALS + 1)) + 1  # to each service


@pytest.fixture
def three(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hosts]:
    with linked_hosts("omnibusd", str(request.config.option.daemon), tmp_path) as found:
        yield found


def serve(service: Client, faults: list[BaseException]) -> None:
    """Answer each call with its number and how many signals were sent up to then."""
    try:
        sent = 0
        for _ in range(CALLS):
            call = service.take(member="Read")
            for _ in range(SIGNALS):
                sent += 1
                service.signal("Tick", "u", sent)
            service.reply(call, "uu", *call.body, sent)
    except BaseException as fault:
        faults.append(fault)


class Seen:
    """What a client has had of one service."""

    def __init__(self) -> None:
        self.signals = self.replies = self.asked = 0


def order_of(hosts: Hosts) -> int:
    """Let a client of a call b and c; return how many messages arrived, all in order and once."""
    faults: list[BaseException] = []
    threads = []
    client = hosts["a"].bus.connect(deadline=120)
    seen: dict[str, Seen] = {}
    names: dict[str, str] = {}
    for name in "bc":
        service = hosts[name].bus.connect(deadline=120)
        service.own(f"org.example.{name}")
        owner = hosts["a"].wait_for_owner(f"org.example.{name}")
        client.match(f"type='signal',sender='org.example.{name}',member='Tick'")
        seen[owner], names[owner] = Seen(), f"org.example.{name}"
        threads.append(threading.Thread(target=serve, args=(service, faults)))
        threads[-1].start()

    def ask(owner: str) -> None:
        client.start_call(names[owner], "Read", "u", seen[owner].asked)
        seen[owner].asked += 1

    for owner in seen:
        for _ in range(UNDER_WAY):
            ask(owner)
    while any(one.replies < CALLS for one in seen.values()):
        message = client.receive()
        one = seen.get(str(message.sender))
        if one is None:
            continue
        if message.type == Type.SIGNAL:
            one.signals += 1
            assert message.body == (one.signals,)
        else:
            assert message.type == Type.METHOD_RETURN
            assert message.body == (one.replies, one.signals)
            one.replies += 1
            if one.asked < CALLS:
                ask(str(message.sender))
    for thread in threads:
        thread.join()
    assert faults == []
    return sum(one.signals + one.replies for one in seen.values())


def test_100000_messages(three: Hosts) -> None:
    assert order_of(three) >= 100_000
