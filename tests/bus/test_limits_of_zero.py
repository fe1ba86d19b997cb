"""dbus-daemon(1), <limit>: the smallest and largest values."""

from __future__ import annotations

import pytest

from support.daemon import Daemon
from support.raw import BUS, BUS_PATH, ERROR, BusError, Client, Closed

from .conftest import StartDaemon

LIMITS_EXCEEDED = ERROR + "LimitsExceeded"
LARGEST = 2**31 - 1


def start_hello(daemon: Daemon) -> tuple[Client, int]:
    """Authenticate, and call Hello without waiting for the reply."""
    client = daemon.connect(hello=False)
    return client, client.start_call(BUS, "Hello", interface=BUS, path=BUS_PATH)


class TestTimeouts:
    def test_no_reply_timeout(self, limited: StartDaemon) -> None:
        """reply_timeout=0: a reply never expires."""
        daemon = limited(reply_timeout=0)
        client, other = daemon.connect(), daemon.connect()
        client.start_call(other.unique, "Hail")
        call = other.expect(member="Hail")
        client.expect_nothing(other)
        other.reply(call)
        client.expect(type=2, reply_serial=call.serial)

    def test_no_time_to_authenticate(self, limited: StartDaemon) -> None:
        """auth_timeout=0: every connection is closed before it has authenticated."""
        daemon = limited(auth_timeout=0)
        with pytest.raises((Closed, OSError)):
            daemon.connect()

    def test_no_time_to_start(self, limited: StartDaemon) -> None:
        """service_start_timeout=0: the start times out as with any other value."""
        daemon = limited(service_start_timeout=0)
        client = daemon.connect()
        with pytest.raises(BusError) as caught:
            client.reply_to(client.start_call("org.example.Absent", "Hail"))
        assert caught.value.name in (ERROR + "ServiceUnknown", ERROR + "TimedOut")


class TestConnections:
    def test_no_connection(self, limited: StartDaemon) -> None:
        """max_completed_connections=0: Hello is refused."""
        client, serial = start_hello(limited(max_completed_connections=0))
        text = client.expect_error(serial, LIMITS_EXCEEDED)
        assert text == "The maximum number of active connections has been reached"

    def test_no_connection_of_a_user(self, limited: StartDaemon) -> None:
        """max_connections_per_user=0: the first connection of a user exceeds it."""
        client, serial = start_hello(limited(max_connections_per_user=0))
        text = client.expect_error(serial, LIMITS_EXCEEDED)
        assert text == "The maximum number of active connections for UID 0 has been reached"

    def test_no_incomplete_connection(self, limited: StartDaemon) -> None:
        """max_incomplete_connections=0: the bus accepts clients all the same."""
        assert limited(max_incomplete_connections=0).connect().driver("GetId")

    @pytest.mark.deviation("no-incomplete-connections")
    def test_more_than_one_client(self, limited: StartDaemon) -> None:
        """It accepts more than one client, as with 1."""
        daemon = limited(max_incomplete_connections=0)
        first, second = daemon.connect(), daemon.connect()
        assert first.driver("GetId") == second.driver("GetId")


class TestMessages:
    @pytest.mark.parametrize("limit", ["max_incoming_bytes", "max_incoming_unix_fds"])
    def test_nothing_is_read(self, limited: StartDaemon, limit: str) -> None:
        """max_incoming_bytes=0, max_incoming_unix_fds=0: no message is read, not even Hello."""
        client, serial = start_hello(limited(**{limit: 0}))
        client.deadline = 0.3
        with pytest.raises(TimeoutError):
            client.reply_to(serial)

    @pytest.mark.parametrize("limit", ["max_incoming_bytes", "max_incoming_unix_fds"])
    def test_one_at_a_time(self, limited: StartDaemon, limit: str) -> None:
        """With 1 a message is read when no other is in flight."""
        daemon = limited(**{limit: 1})
        client, other = daemon.connect(), daemon.connect()
        for _ in range(3):
            client.start_call(other.unique, "Hail")
            other.expect(member="Hail")

    @pytest.mark.parametrize("limit", ["max_outgoing_bytes", "max_outgoing_unix_fds"])
    def test_unqueued_messages_are_delivered(self, limited: StartDaemon, limit: str) -> None:
        """max_outgoing_bytes=0, max_outgoing_unix_fds=0: messages that need not be queued are delivered."""
        daemon = limited(**{limit: 0})
        client, other = daemon.connect(), daemon.connect()
        client.start_call(other.unique, "Hail")
        other.expect(member="Hail")

    def test_no_message(self, limited: StartDaemon) -> None:
        """max_message_size=0: the first message disconnects its sender."""
        client, _ = start_hello(limited(max_message_size=0))
        client.expect_closed()


class TestTables:
    @pytest.mark.parametrize(
        ("limit", "method", "signature", "arguments"),
        [
            ("max_names_per_connection", "RequestName", "su", ("org.example.A", 0)),
            ("max_match_rules_per_connection", "AddMatch", "s", ("member='A'",)),
        ],
    )
    def test_none(
        self, limited: StartDaemon, limit: str, method: str, signature: str, arguments: tuple[object, ...]
    ) -> None:
        client = limited(**{limit: 0}).connect()
        with pytest.raises(BusError) as caught:
            client.driver(method, signature, *arguments)
        assert caught.value.name == LIMITS_EXCEEDED
        assert caught.value.text.endswith(f"{limit}=0)")

    def test_no_reply(self, limited: StartDaemon) -> None:
        """max_replies_per_connection=0: no call may expect a reply."""
        daemon = limited(max_replies_per_connection=0)
        client, other = daemon.connect(), daemon.connect()
        client.expect_error(client.start_call(other.unique, "Hail"), LIMITS_EXCEEDED)

    def test_no_start(self, limited: StartDaemon) -> None:
        """max_pending_service_starts=0: no service is started."""
        client = limited(max_pending_service_starts=0).connect()
        client.expect_error(client.start_call("org.example.Absent", "Hail"), LIMITS_EXCEEDED)


@pytest.mark.parametrize(
    "limit",
    [
        "max_incoming_bytes",
        "max_incoming_unix_fds",
        "max_outgoing_bytes",
        "max_outgoing_unix_fds",
        "max_message_size",
        "service_start_timeout",
        "auth_timeout",
        "pending_fd_timeout",
        "reply_timeout",
        "max_completed_connections",
        "max_incomplete_connections",
        "max_connections_per_user",
        "max_pending_service_starts",
        "max_names_per_connection",
        "max_match_rules_per_connection",
        "max_replies_per_connection",
        "max_containers",
        "max_containers_per_user",
        "max_connections_per_container",
        "max_container_metadata_bytes",
    ],
)
def test_largest(limited: StartDaemon, limit: str) -> None:
    """The largest value acts as no limit."""
    daemon = limited(**{limit: LARGEST})
    client, other = daemon.connect(), daemon.connect()
    client.match("member='Absent'")
    assert client.own("org.example.A") == 1
    serial = client.start_call(other.unique, "Hail")
    other.reply(other.expect(member="Hail"))
    client.expect(type=2, reply_serial=serial)
