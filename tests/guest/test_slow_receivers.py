"""Receivers that don't read for a while: nothing is lost, and no other client is affected."""

from __future__ import annotations

import threading
import time

import pytest

from support.daemon import Daemon
from support.direct import GROUP, WAYS, echo, received_directly, send_note, sent_directly, wait_until_direct
from support.raw import DEADLINE

from .conftest import Tell

pytestmark = pytest.mark.deviation("multicast")
COUNT = 1000  # messages: several queues full
MORE = 200  # afterwards


class TestUnread:
    @pytest.fixture(autouse=True)
    def clients(self, bus: Daemon) -> None:
        self.asker, self.sender, self.slow, self.other = (bus.connect() for _ in range(4))
        for client in (self.slow, self.other):
            client.match("type='signal',member='Cast'")

    def cast(self, number: int = 0) -> None:
        self.sender.signal("Cast", "u", number)
        assert self.other.take(member="Cast").body == (number,)

    def both(self) -> None:
        """One signal to each, and a broadcast."""
        send_note(self.sender, self.slow)
        send_note(self.sender, self.other)
        self.cast()
        self.slow.take(member="Cast")

    def ways_known(self, way: str) -> None:
        if way == GROUP:
            wait_until_direct(self.asker, self.sender, by=self.both)

    def flood(self) -> None:
        """Send to the slow receiver, to the other one, and to both."""
        for number in range(COUNT):
            self.sender.signal("Note", "u", number, destination=self.slow.unique)
            send_note(self.sender, self.other, number)
            self.cast(number)

    def test_nothing_is_lost(self, way: str) -> None:
        """The slow one later reads all messages in order; the other one got its own meanwhile."""
        self.ways_known(way)
        self.flood()
        for number in range(COUNT):
            self.slow.expect(member="Note", body=(number,))
            self.slow.expect(member="Cast", body=(number,))
        self.slow.expect_nothing(self.sender)
        self.other.expect_nothing(self.sender)

    def test_others_go_on(self, bus: Daemon, way: str) -> None:
        """All messages between two unrelated clients still go directly."""
        third, fourth = bus.connect(), bus.connect()
        self.ways_known(way)
        if way == GROUP:
            wait_until_direct(self.asker, third, fourth, by=lambda: echo(third, fourth))
        self.flood()
        before = sent_directly(self.asker, third), sent_directly(self.asker, fourth)
        for number in range(100):
            echo(third, fourth, number)
        after = sent_directly(self.asker, third), sent_directly(self.asker, fourth)
        expected = 100 if way == GROUP else 0
        assert [one - other for one, other in zip(after, before, strict=True)] == [expected, expected]

    def again(self, burst: int) -> tuple[int, float]:
        """Read all, then send in bursts; return how many went through the bus, and until when (ms)."""
        self.flood()
        before = received_directly(self.asker, self.slow)
        for _ in range(2 * COUNT):
            self.slow.receive()
        begin, times = time.monotonic(), []
        for at in range(0, MORE, burst):
            for number in range(at, at + burst):
                times.append(time.monotonic() - begin)
                self.sender.signal("Note", "u", number, destination=self.slow.unique)
            for number in range(at, at + burst):
                self.slow.expect(member="Note", body=(number,))
        by_bus = MORE - (received_directly(self.asker, self.slow) - before)
        assert by_bus < MORE
        return by_bus, 1000 * times[by_bus]

    @pytest.mark.parametrize("burst", [1, 50])
    @pytest.mark.parametrize("way", WAYS[:1], indirect=True)
    def test_directly_again(self, way: str, burst: int, tell: Tell) -> None:
        """After the receiver has read all, messages soon go directly again."""
        self.ways_known(way)
        by_bus, milliseconds = self.again(burst)
        tell(f"bursts of {burst}: through the bus {by_bus} of {MORE}, directly after {milliseconds:.1f} ms")
        assert by_bus <= MORE // 2

    @pytest.mark.parametrize("way", WAYS[:1], indirect=True)
    def test_a_sender_that_never_pauses(self, way: str, tell: Tell) -> None:
        """It stays with the bus while the bus has unread messages of it, and goes directly again later."""
        self.ways_known(way)
        is_half = threading.Event()

        def send() -> None:
            for number in range(2 * COUNT):
                self.sender.signal("Note", "u", number, destination=self.slow.unique)
                if number == COUNT:
                    is_half.set()

        before = received_directly(self.asker, self.slow)
        thread = threading.Thread(target=send)
        thread.start()
        assert is_half.wait(DEADLINE)
        for number in range(2 * COUNT):
            self.slow.expect(member="Note", body=(number,))
        thread.join()
        direct = received_directly(self.asker, self.slow) - before
        tell(f"of {COUNT} messages before the receiver reads and {COUNT} during that, {direct} directly")
        wait_until_direct(self.asker, self.sender, by=lambda: send_note(self.sender, self.slow))
