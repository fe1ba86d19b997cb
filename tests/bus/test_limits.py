"""dbus-daemon(1), <limit>: the behaviour at each limit."""

from __future__ import annotations

import time

import pytest

from support.daemon import config
from support.message import Flag, Type
from support.raw import BUS, BUS_PATH, ERROR, BusError, Client, Closed, Wire

from .conftest import StartDaemon

LIMITS_EXCEEDED = ERROR + "LimitsExceeded"


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

    def test_at_the_limit(self, limited: StartDaemon) -> None:
        daemon = limited(max_message_size=self.LIMIT)
        client, other = daemon.connect(), daemon.connect()
        client.send_bytes(self.sized(client, other.unique, self.LIMIT))
        other.expect(member="Hail")

    def test_beyond(self, limited: StartDaemon) -> None:
        """The sender of a larger message is disconnected as soon as its length is known."""
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

    def test_beyond(self, limited: StartDaemon) -> None:
        daemon = limited(max_match_rules_per_connection=3)
        client = daemon.connect()
        for number in range(3):
            client.match(f"member='M{number}'")
        assert exceeded(client, "AddMatch", "s", "member='M4'") == (
            f'Connection "{client.unique}" is not allowed to add more match rules '
            "(increase limits in configuration file if required; max_match_rules_per_connection=3)"
        )

    def test_removal_makes_room(self, limited: StartDaemon) -> None:
        """A removed rule makes room; other connections have their own limit."""
        daemon = limited(max_match_rules_per_connection=2)
        client, other = daemon.connect(), daemon.connect()
        client.match("member='A'")
        client.match("member='A'")
        assert exceeded(client, "AddMatch", "s", "member='A'")
        client.driver("RemoveMatch", "s", "member='A'")
        client.match("member='B'")
        other.match("member='A'")


class TestNames:
    """max_names_per_connection: maximum number of names a single connection can own, the unique one too."""

    def test_beyond(self, limited: StartDaemon) -> None:
        daemon = limited(max_names_per_connection=3)
        client = daemon.connect()
        assert client.own("org.example.A") == client.own("org.example.B") == 1
        assert exceeded(client, "RequestName", "su", "org.example.C", 0) == (
            f'Connection "{client.unique}" is not allowed to own more services '
            "(increase limits in configuration file if required; max_names_per_connection=3)"
        )
        assert client.driver("NameHasOwner", "s", "org.example.C") is False

    def test_waiting_counts(self, limited: StartDaemon) -> None:
        """A queued request counts, too."""
        daemon = limited(max_names_per_connection=2)
        client, other = daemon.connect(), daemon.connect()
        other.own("org.example.A")
        assert client.own("org.example.A") == 2
        assert exceeded(client, "RequestName", "su", "org.example.B", 0)

    def test_removal_makes_room(self, limited: StartDaemon) -> None:
        daemon = limited(max_names_per_connection=2)
        client = daemon.connect()
        client.own("org.example.A")
        client.driver("ReleaseName", "s", "org.example.A")
        assert client.own("org.example.B") == 1


class TestReplies:
    """max_replies_per_connection: maximum number of pending method replies per connection."""

    TEXT = "The maximum number of pending replies per connection has been reached"

    def test_beyond(self, limited: StartDaemon) -> None:
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

    def test_no_reply_expected(self, limited: StartDaemon) -> None:
        """Calls that expect no reply don't count."""
        daemon = limited(max_replies_per_connection=1)
        client, other = daemon.connect(), daemon.connect()
        for _ in range(5):
            client.start_call(other.unique, "Hail", flags=Flag.NO_REPLY_EXPECTED)
            other.expect(member="Hail")

    def test_of_the_caller(self, limited: StartDaemon) -> None:
        """The limit is per caller."""
        daemon = limited(max_replies_per_connection=1)
        client, other, third = daemon.connect(), daemon.connect(), daemon.connect()
        client.start_call(other.unique, "Hail")
        third.start_call(other.unique, "Hail")
        other.expect(member="Hail", sender=client.unique)
        other.expect(member="Hail", sender=third.unique)

    def test_callee_gone(self, limited: StartDaemon) -> None:
        """A call that was answered with NoReply is no longer pending."""
        daemon = limited(max_replies_per_connection=1)
        client, other = daemon.connect(), daemon.connect()
        for _ in range(3):
            callee = daemon.connect()
            serial = client.start_call(callee.unique, "Hail")
            callee.expect(member="Hail")
            callee.close()
            assert client.expect_error(serial, ERROR + "NoReply")
        client.start_call(other.unique, "Hail")
        other.expect(member="Hail")


class TestReplyTimeout:
    """reply_timeout: milliseconds until a method call times out."""

    def test_timeout(self, limited: StartDaemon) -> None:
        daemon = limited(reply_timeout=100)
        client, other = daemon.connect(), daemon.connect()
        began = time.monotonic()
        serial = client.start_call(other.unique, "Hail")
        text = client.expect_error(serial, ERROR + "NoReply")
        assert text == "Message did not receive a reply (timeout by message bus)"
        assert time.monotonic() - began > 0.09

    def test_reload(self, limited: StartDaemon) -> None:
        """A call made without a timeout does not expire, and does not delay the timeouts of later calls."""
        daemon = limited()
        client, other = daemon.connect(), daemon.connect()
        endless = client.start_call(other.unique, "Hail")
        file = daemon.directory / "bus.conf"
        limit = '<limit name="reply_timeout">100</limit></busconfig>'
        file.write_text(file.read_text().replace("</busconfig>", limit))
        client.driver("ReloadConfig")
        serial = client.start_call(other.unique, "Hail")
        client.expect_error(serial, ERROR + "NoReply")
        call = other.expect(member="Hail")
        other.reply(call)
        client.expect(reply_serial=endless, type=Type.METHOD_RETURN)


class TestConnections:
    def test_completed(self, limited: StartDaemon) -> None:
        """max_completed_connections: maximum number of authenticated connections."""
        daemon = limited(max_completed_connections=2)
        first, _ = daemon.connect(), daemon.connect()
        third = daemon.connect(hello=False)
        text = third.expect_error(
            third.start_call(BUS, "Hello", interface=BUS, path=BUS_PATH), LIMITS_EXCEEDED
        )
        assert text == "The maximum number of active connections has been reached"
        first.close()
        while True:
            client = daemon.connect(hello=False)
            try:
                assert client.hello()
                break
            except (BusError, Closed):
                client.close()

    def test_per_user(self, limited: StartDaemon, unprivileged: int) -> None:
        """max_connections_per_user: maximum number of completed connections from the same user."""
        daemon = limited(max_connections_per_user=2)
        first, _ = daemon.connect(), daemon.connect()
        third = daemon.connect(hello=False)
        text = third.expect_error(
            third.start_call(BUS, "Hello", interface=BUS, path=BUS_PATH), LIMITS_EXCEEDED
        )
        assert text == "The maximum number of active connections for UID 0 has been reached"
        assert daemon.connect(uid=unprivileged).unique
        assert first.driver("GetId")

    def test_incomplete(self, limited: StartDaemon) -> None:
        """max_incomplete_connections: at the limit further connections are not accepted; they wait."""
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

    def test_authentication_makes_room(self, limited: StartDaemon) -> None:
        """A connection is complete after Hello."""
        daemon = limited(max_incomplete_connections=1)
        assert len({daemon.connect().unique for _ in range(5)}) == 5


class TestAuthTimeout:
    """auth_timeout: milliseconds a connection is given to authenticate."""

    @pytest.mark.parametrize("said", [b"", b"\0", b"\0AUTH EXTERNAL\r\n"])
    def test_silent(self, limited: StartDaemon, said: bytes) -> None:
        daemon = limited(auth_timeout=200)
        wire = Wire(daemon.address)
        if said:
            wire.send_bytes(said)
        began = time.monotonic()
        with pytest.raises(Closed):
            while True:
                wire.fill(time.monotonic() + wire.deadline)
        assert time.monotonic() - began > 0.1
        wire.close()

    def test_authenticated(self, limited: StartDaemon) -> None:
        """A complete connection does not time out."""
        daemon = limited(auth_timeout=200)
        client = daemon.connect()
        wire = Wire(daemon.address)
        wire.expect_closed()
        wire.close()
        assert client.driver("GetId")

    def test_without_hello(self, limited: StartDaemon) -> None:
        """A connection that has authenticated without Hello is still incomplete."""
        daemon = limited(auth_timeout=200)
        client = daemon.connect(hello=False)
        client.expect_closed()


class TestUnixFds:
    """max_message_unix_fds: maximum number of descriptors with a single message."""

    def test_fewer(self, limited: StartDaemon, pipe: tuple[int, int]) -> None:
        daemon = limited(max_message_unix_fds=3)
        client, other = daemon.connect(), daemon.connect()
        client.start_call(other.unique, "Take", fds=pipe[:1] * 3)
        assert len(other.expect(member="Take").fds) == 3
        client.start_call(other.unique, "Take", fds=pipe[:1] * 4)
        client.expect_closed()
        other.expect_nothing()

    def test_more(self, limited: StartDaemon, pipe: tuple[int, int]) -> None:
        daemon = limited(max_message_unix_fds=200)
        client, other = daemon.connect(), daemon.connect()
        client.start_call(other.unique, "Take", fds=pipe[:1] * 200)
        assert len(other.expect(member="Take").fds) == 200


class TestSystemDefaults:
    """A bus without any <limit> has the defaults of a system bus."""

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
            client.start_call(
                BUS, "AddMatch", "s", f"member='M{number}'", interface=BUS, path=BUS_PATH, flags=1
            )
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
