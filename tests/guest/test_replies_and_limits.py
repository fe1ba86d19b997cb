"""Replies, their limits, and the statistics are the same with the group as without."""

from __future__ import annotations

import time

import pytest

from support.daemon import STRICT_POLICY, Daemon
from support.direct import GROUP, echo, received_directly, send_note, sent_directly, stats, wait_until_direct
from support.message import Message, Type
from support.raw import ERROR, Client

from .conftest import Begin

pytestmark = pytest.mark.deviation("multicast")


class Pair:
    """Two clients with direct delivery between them, and one that reads statistics."""

    def __init__(self, bus: Daemon, way: str) -> None:
        self.asker, self.caller, self.callee = (bus.connect() for _ in range(3))
        self.direct = way == GROUP
        echo(self.caller, self.callee)
        if self.direct:
            wait_until_direct(self.asker, self.caller, self.callee, by=lambda: echo(self.caller, self.callee))

    def call(self, size: int = 0) -> Message:
        self.caller.start_call(self.callee.unique, "Echo", "ay", bytes(size))
        return self.callee.take(type=Type.METHOD_CALL, member="Echo")

    def went_directly(self, client: Client, before: int, count: int) -> None:
        """Assert that all of these went directly or, without a group, none."""
        assert sent_directly(self.asker, client) - before == (count if self.direct else 0)


class TestCounted:
    def test_messages(self, bus: Daemon, way: str) -> None:
        """Direct messages count for sender and receiver, and separately."""
        pair = Pair(bus, way)
        clients = pair.caller, pair.callee
        before = [stats(pair.asker, one) for one in clients]
        totals = stats(pair.asker)
        for number in range(50):
            echo(*clients, number)
        for client, old in zip(clients, before, strict=True):
            new = stats(pair.asker, client)
            assert new["MessagesReceived"] - old["MessagesReceived"] == 50
            assert new["MessagesSent"] - old["MessagesSent"] == 50
            for key in ("DirectMessagesReceived", "DirectMessagesSent"):
                assert new[key] - old[key] == (50 if way == GROUP else 0)
        assert stats(pair.asker)["DirectMessages"] - totals["DirectMessages"] == (100 if way == GROUP else 0)

    def test_broadcasts(self, bus: Daemon, way: str) -> None:
        """One message of the sender, and one delivery for each receiver."""
        asker, sender, *listeners = (bus.connect() for _ in range(5))
        for listener in listeners:
            listener.match("type='signal',member='Cast'")

        def cast() -> None:
            sender.signal("Cast")
            for listener in listeners:
                listener.take(member="Cast")

        if way == GROUP:
            wait_until_direct(asker, sender, by=cast)
        old, before = stats(asker), [received_directly(asker, one) for one in listeners]
        for _ in range(10):
            cast()
        new = stats(asker)
        count = 10 if way == GROUP else 0
        assert new["DirectMessages"] - old["DirectMessages"] == count
        assert new["DirectDeliveries"] - old["DirectDeliveries"] == count * len(listeners)
        assert [received_directly(asker, one) for one in listeners] == [one + count for one in before]

    def test_pending(self, bus: Daemon, way: str) -> None:
        """PendingReplies: pending calls, direct and through the bus."""
        pair = Pair(bus, way)
        calls = [pair.call(size) for size in (0, 100_000, 0)]
        assert stats(pair.asker, pair.caller)["PendingReplies"] == 3
        for call in calls:
            pair.callee.reply(call)
            pair.caller.take(type=Type.METHOD_RETURN, reply_serial=call.serial)
        assert stats(pair.asker, pair.caller)["PendingReplies"] == 0


class TestMaximum:
    """max_replies_per_connection: pending calls of one client."""

    LIMIT = 5

    def test_beyond(self, begin: Begin, way: str) -> None:
        pair = Pair(begin(limits={"max_replies_per_connection": self.LIMIT}), way)
        before = sent_directly(pair.asker, pair.caller)
        calls = [pair.call() for _ in range(self.LIMIT)]
        pair.went_directly(pair.caller, before, self.LIMIT)
        self.refused(pair)
        pair.callee.reply(calls[0])
        pair.caller.expect(type=Type.METHOD_RETURN, reply_serial=calls[0].serial)
        pair.call()
        self.refused(pair)

    def test_both_ways(self, begin: Begin, way: str) -> None:
        """A call through the bus counts together with direct ones."""
        pair = Pair(begin(limits={"max_replies_per_connection": self.LIMIT}), way)
        for size in (0, 100_000, 0, 100_000, 0):
            pair.call(size)
        self.refused(pair, 100_000)

    def refused(self, pair: Pair, size: int = 0) -> None:
        for _ in range(2):
            serial = pair.caller.start_call(pair.callee.unique, "Echo", "ay", bytes(size))
            text = pair.caller.expect_error(serial, ERROR + "LimitsExceeded")
            assert text == "The maximum number of pending replies per connection has been reached"
        pair.callee.expect_nothing(pair.caller)


class TestTime:
    """reply_timeout: milliseconds until the bus answers a pending call."""

    MILLISECONDS = 2000

    def test_too_late(self, begin: Begin, way: str) -> None:
        bus = begin(policy=STRICT_POLICY, limits={"reply_timeout": self.MILLISECONDS})
        pair = Pair(bus, way)
        before = sent_directly(pair.asker, pair.caller)
        begun = time.monotonic()
        calls = [pair.call(), pair.call()]
        in_time = pair.callee.reply(calls[0], "s", "in time")
        assert in_time
        assert pair.caller.reply_to(calls[0].serial).body == ("in time",)
        if time.monotonic() - begun < self.MILLISECONDS / 1000:
            pair.went_directly(pair.caller, before, 2)
        pair.caller.expect_error(calls[1].serial, ERROR + "NoReply")
        assert time.monotonic() - begun >= self.MILLISECONDS / 1000
        late = pair.callee.reply(calls[1], "s", "late")
        pair.callee.expect_error(late, ERROR + "AccessDenied")
        pair.caller.expect_nothing(pair.callee)
        echo(pair.caller, pair.callee, 7)


class TestUnrequestedReply:
    """requested_reply: a reply passes only once, and only from the callee."""

    @pytest.fixture
    def pair(self, begin: Begin, way: str) -> Pair:
        return Pair(begin(policy=STRICT_POLICY), way)

    def refused(self, pair: Pair, sender: Client, **fields: object) -> None:
        message = sender.message(Type.METHOD_RETURN, destination=pair.caller.unique, **fields)
        sender.expect_error(sender.send(message), ERROR + "AccessDenied")
        pair.caller.expect_nothing(sender)

    def test_never(self, pair: Pair) -> None:
        self.refused(pair, pair.callee, reply_serial=4711)

    def test_second(self, pair: Pair) -> None:
        before = sent_directly(pair.asker, pair.callee)
        call = pair.call()
        pair.callee.reply(call)
        pair.caller.reply_to(call.serial)
        pair.went_directly(pair.callee, before, 1)
        self.refused(pair, pair.callee, reply_serial=call.serial)

    def test_by_another(self, pair: Pair) -> None:
        call = pair.call()
        self.refused(pair, pair.asker, reply_serial=call.serial)
        pair.callee.reply(call)
        assert pair.caller.reply_to(call.serial).sender == pair.callee.unique

    def test_error(self, pair: Pair) -> None:
        """An error is a reply too."""
        call = pair.call()
        pair.callee.error(call, "org.example.Error", "ill")
        assert pair.caller.expect_error(call.serial, "org.example.Error") == "ill"
        self.refused(pair, pair.callee, reply_serial=call.serial)

    def test_direct_call_and_a_reply_by_the_bus(self, pair: Pair) -> None:
        """And the reverse."""
        for sizes in ((0, 100_000), (100_000, 0)):
            call = pair.call(sizes[0])
            pair.callee.reply(call, "ay", bytes(sizes[1]))
            assert len(pair.caller.reply_to(call.serial).body[0]) == sizes[1]
            self.refused(pair, pair.callee, reply_serial=call.serial)

    def test_order_of_both_ways(self, pair: Pair) -> None:
        """A reply too big to go directly is not overtaken by the signal after it."""
        for number in range(20):
            call = pair.call()
            pair.callee.reply(call, "ay", bytes(100_000))
            pair.callee.signal("Note", "u", number, destination=pair.caller.unique)
            pair.caller.expect(type=Type.METHOD_RETURN, reply_serial=call.serial)
            pair.caller.expect(member="Note", body=(number,))
            send_note(pair.callee, pair.caller, number)
