"""dbus-daemon(1), max_outgoing_* and max_incoming_*: receivers that do not read, and their senders."""

from __future__ import annotations

import threading
import time

from support.message import Flag, Type
from support.raw import ERROR, Client

from .conftest import StartDaemon


class TestOutgoing:
    """max_outgoing_bytes: bytes in messages queued up for a single connection."""

    SIZE = 100_000

    def fill(self, client: Client, stuck: Client) -> tuple[int, str]:
        """Call a client that does not read until the bus refuses; return the count and the error."""
        for count in range(500):
            client.start_call(stuck.unique, "Hail", "ay", bytes(self.SIZE), flags=Flag.NO_REPLY_EXPECTED)
            client.driver("GetId")
            if client.inbox:
                (refusal,) = client.inbox
                client.inbox.clear()
                assert (refusal.type, refusal.error_name) == (Type.ERROR, ERROR + "LimitsExceeded")
                return count, str(refusal.body[0])
        raise AssertionError("everything was taken")

    def test_full(self, limited: StartDaemon) -> None:
        """The sender of the first message over the limit gets an error; accepted messages are delivered."""
        daemon = limited(max_outgoing_bytes=1_000_000)
        client, stuck = daemon.connect(), daemon.connect()
        count, text = self.fill(client, stuck)
        assert text.startswith("Rejected: destination has a full message queue, 0 matched rules; ")
        assert count * self.SIZE >= 1_000_000
        for _ in range(count):
            assert len(stuck.expect(member="Hail").body[0]) == self.SIZE
        stuck.expect_nothing(client)

    def test_others_are_not_concerned(self, limited: StartDaemon) -> None:
        daemon = limited(max_outgoing_bytes=1_000_000)
        client, stuck, other = daemon.connect(), daemon.connect(), daemon.connect()
        self.fill(client, stuck)
        client.start_call(other.unique, "Hail")
        other.expect(member="Hail")
        assert other.driver("NameHasOwner", "s", stuck.unique) is True

    def test_receiver_reads_again(self, limited: StartDaemon) -> None:
        """Once the receiver reads again, messages to it are accepted again."""
        daemon = limited(max_outgoing_bytes=1_000_000)
        client, stuck = daemon.connect(), daemon.connect()
        for _ in range(2):
            for _ in range(self.fill(client, stuck)[0]):
                stuck.expect(member="Hail")
            client.signal("News", destination=stuck.unique)
            stuck.expect(member="News")


class TestDescriptors:
    """max_outgoing_unix_fds, max_incoming_unix_fds: descriptors queued for a connection, or sent by it."""

    def fill(self, client: Client, stuck: Client) -> None:
        """Send until messages are queued in the bus."""
        for _ in range(30):
            client.signal("Full", "ay", bytes(100_000), destination=stuck.unique)
        client.sync()

    def test_outgoing(self, limited: StartDaemon, pipe: tuple[int, int]) -> None:
        """The sender of a descriptor over the limit gets an error."""
        daemon = limited(max_outgoing_unix_fds=10)
        client, stuck = daemon.connect(), daemon.connect()
        self.fill(client, stuck)
        for _ in range(20):
            client.signal("Take", destination=stuck.unique, fds=pipe[:1])
        client.driver("GetId")
        refusals = [one.error_name for one in client.inbox]
        assert refusals == [ERROR + "LimitsExceeded"] * len(refusals)
        taken = 20 - len(refusals)
        assert 10 <= taken <= 11
        for _ in range(taken):
            assert len(stuck.take(member="Take").fds) == 1

    def test_incoming(self, limited: StartDaemon, pipe: tuple[int, int]) -> None:
        """The bus stops reading from the sender; no descriptor is lost."""
        daemon = limited(max_incoming_unix_fds=20)
        client, slow, other = daemon.connect(), daemon.connect(), daemon.connect()
        taken = None
        while taken is None:  # the test was slower than QUOTA_STALL_TIME, from which on the receiver pays
            began = time.monotonic()
            self.fill(client, slow)
            before = daemon.open_files()
            for _ in range(30):
                client.signal("Take", destination=slow.unique, fds=pipe[:1] * 10)
            for _ in range(20):
                other.sync()
            open_files = daemon.open_files()
            if time.monotonic() - began < 1.5:
                taken = open_files - before
            for _ in range(30):
                assert len(slow.take(member="Take").fds) == 10
                slow.close_fds()
        assert 20 <= taken <= 50


class TestIncoming:
    """max_incoming_bytes: bytes in messages incoming from a single connection; reading stops at the limit."""

    def test_back_pressure(self, limited: StartDaemon) -> None:
        """Nothing is lost: the sender is stopped until the receiver has read."""
        daemon = limited(max_incoming_bytes=500_000)
        client, slow, other = daemon.connect(), daemon.connect(), daemon.connect()
        count, size = 40, 100_000

        def send() -> None:
            for number in range(count):
                client.start_call(
                    slow.unique, "Hail", "uay", number, bytes(size), flags=Flag.NO_REPLY_EXPECTED
                )

        thread = threading.Thread(target=send)
        thread.start()
        for _ in range(20):
            other.sync()
        for number in range(count):
            assert slow.expect(member="Hail").body[0] == number
        thread.join()
