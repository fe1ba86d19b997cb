"""The same messages to the daemon under test and to the reference must have the same effect on both.

Compared are: whether the sender is disconnected, the replies to it (error names and texts included), and
the messages relayed to another client.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import malformed
from support.client_set import ClientSet
from support.daemon import Daemon, config, start
from support.message import BIG, LITTLE
from support.mutations import any_message
from support.random_actions import RandomActions
from support.raw import Closed

REFERENCE = "/usr/bin/dbus-daemon"
OUR_SERIALS = 100_000  # of calls that only wait for the bus
# Connections that come and go, and service files that change meanwhile, are not compared.
OF_THE_BUS = ("NameOwnerChanged", "ActivatableServicesChanged")
# Refused before its destination is looked up (docs/using/compatibility.md).
UNKNOWN_TYPE = "Message bus will not accept messages of unknown type"
NOT_PROVIDED = "was not provided by any .service files"
LIMITS = {
    "max_names_per_connection": 20,
    "max_match_rules_per_connection": 30,
    "max_replies_per_connection": 10,
}


def alike(ours: Any, theirs: Any) -> bool:
    """Return whether both outcomes are equal, except the error of an unknown type to an absent name."""
    if ours == theirs:
        return True
    refused = isinstance(ours[0], list) and len(ours[0]) == 1 and ours[0][0][10] == (UNKNOWN_TYPE,)
    absent = isinstance(theirs[0], list) and len(theirs[0]) == 1 and NOT_PROVIDED in str(theirs[0][0][10])
    return refused and absent and ours[1] == theirs[1] and ours[0][0][6] == theirs[0][0][6]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat random tests with several seeds, with many of them for a long stress test."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(100 if metafunc.config.option.stress == "long" else 8))


@pytest.fixture(scope="module")
def daemons(executable: str) -> Iterator[tuple[Daemon, Daemon]]:
    """The daemon under test and the reference."""
    if executable == REFERENCE:
        pytest.skip("the reference needn't be compared with itself")
    if not os.access(REFERENCE, os.X_OK):
        pytest.skip(f"no reference at {REFERENCE} (Debian package dbus-daemon)")
    started = [start(path, config("unix:path={dir}/bus", limits=LIMITS)) for path in (executable, REFERENCE)]
    yield started[0], started[1]
    for daemon in started:
        daemon.stop()


class TestMessages:
    """One message at a time, from a sender that it may disconnect, and a subscriber to broadcasts."""

    @pytest.fixture
    def sides(self, daemons: tuple[Daemon, Daemon]) -> Iterator[tuple[ClientSet, ClientSet]]:
        found = ClientSet(daemons[0], 2), ClientSet(daemons[1], 2)
        for side in found:
            side.clients[1].match("type='signal'")
            side.clients[1].sync()
            side.clients[1].inbox.clear()
        yield found
        for side in found:
            side.close()

    def outcome(self, side: ClientSet, data: bytes) -> Any:
        """Send one message and return its effects."""
        sender, listener = side.clients
        end: Any = None
        try:
            sender.send_bytes(data)
            sender.serial = OUR_SERIALS
            sender.sync()
            end = side.told(sender)
        except Closed:
            end = "disconnected"
            sender.close()
            while listener.driver("NameHasOwner", "s", sender.unique):
                pass
        listener.sync()
        relayed = [one for one in side.told(listener) if one[4] not in OF_THE_BUS]
        if end == "disconnected":
            side.clients[0] = side.enter(0)
            listener.sync()
            listener.inbox.clear()
        return end, relayed

    def compare(self, sides: tuple[ClientSet, ClientSet], build: Callable[[ClientSet], bytes]) -> list[str]:
        """Return the differences; an empty list is a pass."""
        ours, theirs = (self.outcome(side, build(side)) for side in sides)
        return [] if alike(ours, theirs) else [f"{build(sides[0])!r}:\n  ours   {ours}\n  theirs {theirs}"]

    def test_malformed(self, sides: tuple[ClientSet, ClientSet]) -> None:
        differences = []
        for case in malformed.MALFORMED.values():
            for order in (LITTLE, BIG):
                data = case(order)
                differences += self.compare(sides, lambda _, data=data: data)  # type: ignore[misc]
        assert differences == []

    def test_mutated(self, sides: tuple[ClientSet, ClientSet], seed: int) -> None:
        """Valid messages with a few bytes changed."""
        chance = random.Random(seed)
        differences = []
        for _ in range(150):
            differences += self.compare(sides, any_message(chance))
        assert not differences, "\n".join(differences)


class TestRandomActions:
    def test_random(self, daemons: tuple[Daemon, Daemon], seed: int) -> None:
        """Names, rules, signals, calls and replies: all clients get the same messages in the same order."""
        sides = ClientSet(daemons[0], 3), ClientSet(daemons[1], 3)
        actions = RandomActions(random.Random(seed))
        history: list[Any] = []
        for _ in range(200):
            place, build = actions.choose()
            results = []
            for side in sides:
                side.clients[place].send(build(side))
                for client in side.clients:
                    client.serial = OUR_SERIALS
                for client in (side.clients[place], *side.clients):
                    client.sync()
                results.append([side.told(client) for client in side.clients])
            history.append((place, build(sides[0])))
            assert results[0] == results[1], f"after {history[-8:]}"
        for side in sides:
            side.close()
