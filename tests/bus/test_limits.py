"""dbus-daemon(1), <limit>: what happens at each of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from support.daemon import Daemon, config
from support.message import Flag, Type
from support.raw import BUS, BUS_PATH, BusError, Client, Closed, Wire

from .conftest import StartDaemon

ERROR = "org.freedesktop.DBus.Error."
LIMITS_EXCEEDED = ERROR + "LimitsExceeded"
StartLimited = Callable[..., Daemon]


@pytest.fixture
def limited(start_daemon: StartDaemon) -> StartLimited:
    """Start a bus with some limits."""

    def begin(**limits: int) -> Daemon:
        return start_daemon(config("unix:path={dir}/bus", limits=limits))

    return begin


def exceeded(client: Client, *call: object) -> str:
    with pytest.raises(BusError) as caught:
        client.driver(*call)  # type: ignore[arg-type]
    assert caught.value.name == LIMITS_EXCEEDED
    return caught.value.text


class TestMessageSize:
    """max_message_size: maximum size of a single message, in bytes."""

    LIMIT = 50_000

    def sized(self, client: Client, destination: str, size: int) -> bytes:
        """A call of exactly ``size`` bytes."""
        empty = client.message(Type.METHOD_CALL, "ay", b"", path="/a", member="Hail", destination=destination)
        room = size - len(empty.encode())
        return client.message(
            Type.METHOD_CALL, "ay", bytes(room), path="/a", member="Hail", destination=destination
        ).encode()

    def test_at_the_limit(self, limited: StartLimited) -> None:
        daemon = limited(max_message_size=self.LIMIT)
        client, other = daemon.connect(), daemon.connect()
        client.send_bytes(self.sized(client, other.unique, self.LIMIT))
        other.expect(member="Hail")

    def test_beyond(self, limited: StartLimited) -> None:
        """Who sends a larger one is disconnected, as soon as its length is known."""
        daemon = limited(max_message_size=self.LIMIT)
        client, other = daemon.connect(), daemon.connect()
        client.send_bytes(self.sized(client, other.unique, self.LIMIT + 1)[:16])
        client.expect_closed()
        other.expect_nothing()

    def test_protocol(self, start_daemon: StartDaemon) -> None:
        """No configuration allows more than 128 MiB."""
        client = start_daemon(config("unix:path={dir}/bus", limits={"max_message_size": 1 << 30})).connect()
        client.send_bytes(b"l\1\0\1" + (1 << 27).to_bytes(4, "little") + b"\1\0\0\0" + b"\0\0\0\0")
        client.expect_closed()


class TestMatchRules:
    """max_match_rules_per_connection: maximum number of match rules a single connection can have."""

    def test_beyond(self, limited: StartLimited) -> None:
        daemon = limited(max_match_rules_per_connection=3)
        client = daemon.connect()
        for number in range(3):
            client.match(f"member='M{number}'")
        assert exceeded(client, "AddMatch", "s", "member='M4'") == (
            f'Connection "{client.unique}" is not allowed to add more match rules '
            "(increase limits in configuration file if required; max_match_rules_per_connection=3)"
        )

    def test_room_again(self, limited: StartLimited) -> None:
        """A rule that is removed makes room; others have their own."""
        daemon = limited(max_match_rules_per_connection=2)
        client, other = daemon.connect(), daemon.connect()
        client.match("member='A'")
        client.match("member='A'")
        assert exceeded(client, "AddMatch", "s", "member='A'")
        client.driver("RemoveMatch", "s", "member='A'")
        client.match("member='B'")
        other.match("member='A'")


class TestNames:
    """max_names_per_connection: maximum number of names a single connection can own, the unique one included."""

    def test_beyond(self, limited: StartLimited) -> None:
        daemon = limited(max_names_per_connection=3)
        client = daemon.connect()
        assert client.own("org.example.A") == client.own("org.example.B") == 1
        assert exceeded(client, "RequestName", "su", "org.example.C", 0) == (
            f'Connection "{client.unique}" is not allowed to own more services '
            "(increase limits in configuration file if required; max_names_per_connection=3)"
        )
        assert client.driver("NameHasOwner", "s", "org.example.C") is False

    def test_waiting_counts(self, limited: StartLimited) -> None:
        """A place in a queue counts, too."""
        daemon = limited(max_names_per_connection=2)
        client, other = daemon.connect(), daemon.connect()
        other.own("org.example.A")
        assert client.own("org.example.A") == 2
        assert exceeded(client, "RequestName", "su", "org.example.B", 0)

    def test_room_again(self, limited: StartLimited) -> None:
        daemon = limited(max_names_per_connection=2)
        client = daemon.connect()
        client.own("org.example.A")
        client.driver("ReleaseName", "s", "org.example.A")
        assert client.own("org.example.B") == 1


class TestReplies:
    """max_replies_per_connection: maximum number of pending method replies per connection."""

    TEXT = "The maximum number of pending replies per connection has been reached"

    def test_beyond(self, limited: StartLimited) -> None:
        daemon = limited(max_replies_per_connection=3)
        client, other = daemon.connect(), daemon.connect()
        calls = []
        for _ in range(3):
            client.start_call(other.unique, "Hail")
            calls.append(other.expect(member="Hail"))
        serial = client.start_call(other.unique, "Hail")
        assert client.expect_error(serial, LIMITS_EXCEEDED) == self.TEXT
        other.expect_nothing(client)
        other.reply(calls[0])
        client.expect(type=Type.METHOD_RETURN)
        client.start_call(other.unique, "Hail")
        other.expect(member="Hail")

    def test_no_reply_expected(self, limited: StartLimited) -> None:
        """Calls that expect no reply don't count."""
        daemon = limited(max_replies_per_connection=1)
        client, other = daemon.connect(), daemon.connect()
        for _ in range(5):
            client.start_call(other.unique, "Hail", flags=Flag.NO_REPLY_EXPECTED)
            other.expect(member="Hail")

    def test_of_the_caller(self, limited: StartLimited) -> None:
        """It is the caller's number: another caller has his own."""
        daemon = limited(max_replies_per_connection=1)
        client, other, third = daemon.connect(), daemon.connect(), daemon.connect()
        client.start_call(other.unique, "Hail")
        third.start_call(other.unique, "Hail")
        other.expect(member="Hail", sender=client.unique)
        other.expect(member="Hail", sender=third.unique)

    def test_callee_gone(self, limited: StartLimited) -> None:
        """What was answered with NoReply is pending no more."""
        daemon = limited(max_replies_per_connection=1)
        client, other = daemon.connect(), daemon.connect()
        for _ in range(3):
            callee = daemon.connect()
            serial = client.start_call(callee.unique, "Hail")
            callee.close()
            assert client.expect_error(serial, ERROR + "NoReply")
        client.start_call(other.unique, "Hail")
        other.expect(member="Hail")


class TestReplyTimeout:
    """reply_timeout: milliseconds until a method call times out."""

    def test_timeout(self, limited: StartLimited) -> None:
        daemon = limited(reply_timeout=100)
        client, other = daemon.connect(), daemon.connect()
        began = time.monotonic()
        serial = client.start_call(other.unique, "Hail")
        text = client.expect_error(serial, ERROR + "NoReply")
        assert text == "Message did not receive a reply (timeout by message bus)"
        assert 0.09 < time.monotonic() - began


class TestConnections:
    def test_completed(self, limited: StartLimited) -> None:
        """max_completed_connections: maximum number of authenticated connections."""
        daemon = limited(max_completed_connections=2)
        first, _ = daemon.connect(), daemon.connect()
        third = daemon.connect(hello=False)
        text = third.expect_error(third.start_call(BUS, "Hello", interface=BUS, path=BUS_PATH), LIMITS_EXCEEDED)
        assert text == "The maximum number of active connections has been reached"
        first.close()
        while True:
            client = daemon.connect(hello=False)
            try:
                assert client.hello()
                break
            except (BusError, Closed):
                client.close()

    def test_per_user(self, limited: StartLimited, unprivileged: int) -> None:
        """max_connections_per_user: maximum number of completed connections from the same user."""
        daemon = limited(max_connections_per_user=2)
        first, _ = daemon.connect(), daemon.connect()
        third = daemon.connect(hello=False)
        text = third.expect_error(third.start_call(BUS, "Hello", interface=BUS, path=BUS_PATH), LIMITS_EXCEEDED)
        assert text == "The maximum number of active connections for UID 0 has been reached"
        assert daemon.connect(uid=unprivileged).unique
        assert first.driver("GetId")

    def test_incomplete(self, limited: StartLimited) -> None:
        """max_incomplete_connections: while there are that many, nobody else is let in; they wait."""
        daemon = limited(max_incomplete_connections=3)
        established = daemon.connect()
        silent = [Wire(daemon.address) for _ in range(3)]
        for wire in silent:
            wire.send_bytes(b"\0AUTH\r\n")
            assert wire.read_line().startswith(b"REJECTED")
        waiting = Wire(daemon.address)
        waiting.send_bytes(b"\0AUTH\r\n")
        assert established.driver("GetId")
        waiting.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.socket.recv(1)
        waiting.socket.settimeout(waiting.deadline)
        silent[0].close()
        assert waiting.read_line().startswith(b"REJECTED")
        for wire in [*silent, waiting]:
            wire.close()

    def test_authentication_makes_room(self, limited: StartLimited) -> None:
        """Who has said Hello is incomplete no more."""
        daemon = limited(max_incomplete_connections=1)
        assert len({daemon.connect().unique for _ in range(5)}) == 5


class TestAuthTimeout:
    """auth_timeout: milliseconds a connection is given to authenticate."""

    @pytest.mark.parametrize("said", [b"", b"\0", b"\0AUTH EXTERNAL\r\n"])
    def test_silent(self, limited: StartLimited, said: bytes) -> None:
        daemon = limited(auth_timeout=200)
        wire = Wire(daemon.address)
        if said:
            wire.send_bytes(said)
        began = time.monotonic()
        with pytest.raises(Closed):
            while True:
                wire.fill(time.monotonic() + wire.deadline)
        assert 0.1 < time.monotonic() - began
        wire.close()

    def test_authenticated(self, limited: StartLimited) -> None:
        """Who is in is not disturbed by it."""
        daemon = limited(auth_timeout=200)
        client = daemon.connect()
        wire = Wire(daemon.address)
        wire.expect_closed()
        wire.close()
        assert client.driver("GetId")

    def test_without_hello(self, limited: StartLimited) -> None:
        """Who has authenticated but not said Hello is still incomplete."""
        daemon = limited(auth_timeout=200)
        client = daemon.connect(hello=False)
        client.expect_closed()


class TestUnixFds:
    """max_message_unix_fds: maximum number of descriptors with a single message."""

    def test_fewer(self, limited: StartLimited, pipe: tuple[int, int]) -> None:
        daemon = limited(max_message_unix_fds=3)
        client, other = daemon.connect(), daemon.connect()
        client.start_call(other.unique, "Take", fds=pipe[:1] * 3)
        assert len(other.expect(member="Take").fds) == 3
        client.start_call(other.unique, "Take", fds=pipe[:1] * 4)
        client.expect_closed()
        other.expect_nothing()

    def test_more(self, limited: StartLimited, pipe: tuple[int, int]) -> None:
        daemon = limited(max_message_unix_fds=200)
        client, other = daemon.connect(), daemon.connect()
        client.start_call(other.unique, "Take", fds=pipe[:1] * 200)
        assert len(other.expect(member="Take").fds) == 200


class TestOutgoing:
    """max_outgoing_bytes: bytes in messages queued up for a single connection."""

    SIZE = 100_000

    def fill(self, client: Client, stuck: Client) -> tuple[int, str]:
        """Call who doesn't read until the bus refuses; return how many calls it took, and the reason."""
        for count in range(500):
            client.start_call(stuck.unique, "Hail", "ay", bytes(self.SIZE), flags=Flag.NO_REPLY_EXPECTED)
            client.driver("GetId")
            if client.inbox:
                (refusal,) = client.inbox
                client.inbox.clear()
                assert (refusal.type, refusal.error_name) == (Type.ERROR, LIMITS_EXCEEDED)
                return count, str(refusal.body[0])
        raise AssertionError("everything was taken")

    def test_full(self, limited: StartLimited) -> None:
        """The sender of what doesn't fit any more gets an error; the receiver gets what was taken."""
        daemon = limited(max_outgoing_bytes=1_000_000)
        client, stuck = daemon.connect(), daemon.connect()
        count, text = self.fill(client, stuck)
        assert text.startswith("Rejected: destination has a full message queue, 0 matched rules; ")
        assert 1_000_000 <= count * self.SIZE
        for _ in range(count):
            assert len(stuck.expect(member="Hail").body[0]) == self.SIZE
        stuck.expect_nothing(client)

    def test_others_are_not_concerned(self, limited: StartLimited) -> None:
        daemon = limited(max_outgoing_bytes=1_000_000)
        client, stuck, other = daemon.connect(), daemon.connect(), daemon.connect()
        self.fill(client, stuck)
        client.start_call(other.unique, "Hail")
        other.expect(member="Hail")
        assert other.driver("NameHasOwner", "s", stuck.unique) is True

    def test_room_again(self, limited: StartLimited) -> None:
        """When he reads again, he is sent to again."""
        daemon = limited(max_outgoing_bytes=1_000_000)
        client, stuck = daemon.connect(), daemon.connect()
        for _ in range(2):
            for _ in range(self.fill(client, stuck)[0]):
                stuck.expect(member="Hail")
            client.signal("News", destination=stuck.unique)
            stuck.expect(member="News")


class TestIncoming:
    """max_incoming_bytes: bytes in messages incoming from a single connection; more is not read meanwhile."""

    def test_back_pressure(self, limited: StartLimited) -> None:
        """Nothing is lost: the sender waits until his receiver has read."""
        daemon = limited(max_incoming_bytes=500_000)
        client, slow, other = daemon.connect(), daemon.connect(), daemon.connect()
        count, size = 40, 100_000

        def send() -> None:
            for number in range(count):
                client.start_call(slow.unique, "Hail", "uay", number, bytes(size), flags=Flag.NO_REPLY_EXPECTED)

        thread = threading.Thread(target=send)
        thread.start()
        for _ in range(20):
            other.sync()
        for number in range(count):
            assert slow.expect(member="Hail").body[0] == number
        thread.join()


class TestSystemDefaults:
    """A bus without any <limit> has those of a system bus."""

    @pytest.fixture
    def client(self, start_daemon: StartDaemon) -> Client:
        text = "\n".join(
            line for line in config("unix:path={dir}/bus").splitlines() if not line.startswith("<limit")
        )
        daemon = start_daemon(text)
        return daemon.connect()

    def test_match_rules(self, client: Client) -> None:
        """512 match rules."""
        for number in range(512):
            client.start_call(BUS, "AddMatch", "s", f"member='M{number}'", interface=BUS, path=BUS_PATH, flags=1)
        client.expect_nothing()
        assert "max_match_rules_per_connection=512" in exceeded(client, "AddMatch", "s", "member='A'")

    def test_names(self, client: Client) -> None:
        """512 names."""
        for number in range(511):
            client.own(f"org.example.Name{number}")
        assert "max_names_per_connection=512" in exceeded(client, "RequestName", "su", "org.example.Last", 0)

    def test_replies(self, client: Client) -> None:
        """128 pending replies."""
        for _ in range(128):
            client.start_call(client.unique, "Hail")
            client.expect(member="Hail")
        assert client.expect_error(client.start_call(client.unique, "Hail"), LIMITS_EXCEEDED)

    def test_message_size(self, client: Client) -> None:
        """32 MiB a message."""
        client.send_bytes(b"l\1\0\1" + (32 << 20).to_bytes(4, "little") + b"\1\0\0\0" + b"\0\0\0\0")
        client.expect_closed()
