"""The cable of a host is pulled: it is lost within the lease, no other is, and comes back with the cable."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.message import Flag
from support.raw import DEADLINE, BusError, Client

from ..hosts import Hosts, linked_hosts, service_and_client

LEASE = 2.0  # seconds
NO_REPLY = "org.freedesktop.DBus.Error.NoReply"


@pytest.fixture(scope="module")
def three(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    daemon = str(request.config.option.daemon)
    with linked_hosts("omnibusd", daemon, tmp_path_factory.mktemp("cable"), lease=LEASE) as found:
        yield found


@pytest.fixture
def hosts(three: Hosts) -> Iterator[Hosts]:
    yield three
    three.network.plug("b")
    for host in three.values():
        host.bus.close_clients()
    for host in three.values():
        host.wait_for_owner("org.example.a", owner=False)


def links(hosts: Hosts) -> int:
    """How often b was linked with a, as b has seen it."""
    return hosts["b"].link.log.read_text().count("linked with a")


def no_reply(client: Client, serial: int) -> None:
    with pytest.raises(BusError) as caught:
        client.reply_to(serial)
    assert caught.value.name == NO_REPLY


class TestCalls:
    """The caller gets NoReply, the service at most one call."""

    def test_before_the_call(self, hosts: Hosts) -> None:
        service, client = service_and_client(hosts)
        before = links(hosts)
        hosts.network.pull("b")
        no_reply(client, client.start_call("org.example.a", "Lost"))
        hosts["b"].wait_for_owner("org.example.a", owner=False)
        hosts.network.plug("b")
        hosts["b"].wait_for_links("a", count=before + 1)
        hosts["b"].wait_for_owner("org.example.a")
        client.start_call("org.example.a", "Next")
        assert service.receive().member == "Next"

    def test_before_the_reply(self, hosts: Hosts) -> None:
        """What was sent meanwhile does not come later: neither the reply nor a call."""
        service, client = service_and_client(hosts)
        before = links(hosts)
        serial = client.start_call("org.example.a", "Read")
        call = service.take(member="Read")
        stand_in = str(call.sender)
        hosts.network.pull("b")
        service.reply(call, "s", "late")
        no_reply(client, serial)
        hosts["a"].wait_for_owner(stand_in, owner=False)
        hosts.network.plug("b")
        hosts["b"].wait_for_links("a", count=before + 1)
        hosts["b"].wait_for_owner("org.example.a")
        serial = client.start_call("org.example.a", "Next")
        service.reply(service.take(member="Next"), "s", "now")
        assert client.reply_to(serial).body == ("now",)
        assert not [one for one in client.inbox if one.body == ("late",)]

    def test_within_the_lease(self, hosts: Hosts) -> None:
        service, client = service_and_client(hosts)
        serial = client.start_call("org.example.a", "Read")
        service.take(member="Read")
        begin = time.monotonic()
        hosts.network.pull("b")
        no_reply(client, serial)
        # Room for a machine that does other things, too.
        assert time.monotonic() - begin < 2 * LEASE + 3

    def test_nothing_else_waits(self, hosts: Hosts) -> None:
        """Zenoh blocks who sends to a host that takes nothing: that is not noticed by a third host."""
        service, lost = service_and_client(hosts)
        kept = hosts["c"].bus.connect()
        hosts["c"].wait_for_owner("org.example.a")
        hosts.network.pull("b")
        number = 0
        end = time.monotonic() + DEADLINE
        while "a is lost" not in hosts["b"].link.log.read_text().rpartition("linked with a")[2]:
            assert time.monotonic() < end
            for _ in range(20):
                lost.start_call("org.example.a", "Lost", "ay", b"x" * 20_000, flags=Flag.NO_REPLY_EXPECTED)
            serial = kept.start_call("org.example.a", "Read", "u", number)
            begin = time.monotonic()
            service.reply(service.take(member="Read"))
            kept.reply_to(serial)
            assert time.monotonic() - begin < LEASE
            number += 1
        assert number > 3


class TestStandstill:
    """A link that stands still is as good as a pulled cable, though its connections are there."""

    def test_lost_and_linked_again(self, hosts: Hosts) -> None:
        service, client = service_and_client(hosts)
        before = links(hosts)
        serial = client.start_call("org.example.a", "Read")
        service.take(member="Read")
        hosts["a"].link.process.send_signal(signal.SIGSTOP)
        try:
            no_reply(client, serial)
            hosts["b"].wait_for_owner("org.example.a", owner=False)
        finally:
            hosts["a"].link.process.send_signal(signal.SIGCONT)
        hosts["b"].wait_for_links("a", count=before + 1)
        hosts["b"].wait_for_owner("org.example.a")
        serial = client.start_call("org.example.a", "Next")
        service.reply(service.take(member="Next"))
        client.reply_to(serial)


def is_connected(hosts: Hosts) -> bool:
    """Whether a TCP connection of b and a is there, of which Zenoh may have made what it likes."""
    table = Path(f"/proc/{hosts.network.hosts['b'].pid}/net/tcp").read_text()
    far = "".join(f"{int(part):02X}" for part in reversed(hosts.network.address("a").split(".")))
    rows = [line.split() for line in table.splitlines()[1:]]
    return any(row[2].startswith(far) and row[3] == "01" for row in rows)


def is_linked(hosts: Hosts) -> bool:
    return "linked with b" in hosts["a"].link.log.read_text().rpartition("b is lost")[2] or links(hosts) > 0


STATES: dict[str, Callable[[Hosts], bool]] = {
    "before": lambda _: True,
    "connected": is_connected,
    "linked": is_linked,
}


class TestHandshake:
    """The cable is pulled while two hosts find one another."""

    @pytest.mark.parametrize("state", STATES)
    def test_linked_in_the_end(self, hosts: Hosts, state: str) -> None:
        service = hosts["a"].bus.connect()
        service.own("org.example.a")
        hosts["b"].end()
        hosts["a"].link.wait_for("b is lost", hosts["a"].link.log.read_text().count("linked with b"))
        hosts["b"].start()
        end = time.monotonic() + DEADLINE
        while not STATES[state](hosts):
            assert time.monotonic() < end
            select.select([], [], [], 0.001)
        hosts.network.pull("b")
        # Long enough for both to have lost one another, if they had found.
        select.select([], [], [], 1.5 * LEASE)
        hosts.network.plug("b")
        hosts["b"].wait_for_links("a")
        hosts["b"].wait_for_owner("org.example.a")
        client = hosts["b"].bus.connect()
        serial = client.start_call("org.example.a", "Read")
        service.reply(service.take(member="Read"))
        client.reply_to(serial)
