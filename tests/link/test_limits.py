"""What a link refuses because of its size or number, and which caller gets the error."""

from __future__ import annotations

import pytest

from omnibus.link.standin import FOLLOWED
from support.message import Flag
from support.raw import BUS, BusError, Client

from .conftest import NAME, Linked, StartLink, wait_for_owner

LIMITS_EXCEEDED = "org.freedesktop.DBus.Error.LimitsExceeded"


def refused(client: Client, serial: int) -> str:
    with pytest.raises(BusError) as caught:
        client.reply_to(serial)
    assert caught.value.name == LIMITS_EXCEEDED
    return caught.value.text


class TestSize:
    """``max_message``: the largest message that crosses."""

    LIMIT = 8192

    def test_calls_and_replies(self, start_link: StartLink) -> None:
        linked = start_link(limits=f"max_message = {self.LIMIT}")
        service, client = linked.service(), linked.b.connect()
        for size in (self.LIMIT, 100 * self.LIMIT, 5_000_000):
            assert str(self.LIMIT) in refused(client, client.start_call(NAME, "Read", "ay", b"x" * size))
            serial = client.start_call(NAME, "Read")
            service.reply(service.take(member="Read"), "ay", b"x" * size)
            assert str(self.LIMIT) in refused(client, serial)
        # All else goes on as before.
        serial = client.start_call(NAME, "Read", "ay", b"x" * (self.LIMIT - 300))
        service.reply(service.take(member="Read"), "ay", b"y" * (self.LIMIT - 300))
        assert client.reply_to(serial).body == (b"y" * (self.LIMIT - 300),)

    def test_a_megabyte_crosses(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        content = bytes(range(256)) * 4000
        serial = client.start_call(NAME, "Read", "ay", content)
        call = service.take(member="Read")
        assert call.body == (content,)
        service.reply(call, "ay", content)
        assert client.reply_to(serial).body == (content,)

    def test_a_long_header_is_an_error_of_the_stream(self, start_link: StartLink) -> None:
        """A path has no limit of its own. Only the stand-in that it was sent to goes, and comes back."""
        linked = start_link(limits=f"max_message = {self.LIMIT}")
        service, client = linked.service(), linked.b.connect()
        serial = client.start_call(NAME, "Read", path="/" + "x" * 1_000_000)
        with pytest.raises(BusError) as caught:
            client.reply_to(serial)
        assert caught.value.name == "org.freedesktop.DBus.Error.NoReply"
        linked.stand_in()
        serial = client.start_call(NAME, "Read")
        service.reply(service.take(member="Read"))
        client.reply_to(serial)


class TestNumbers:
    """How many calls, connections and rules there may be."""

    def test_calls_without_a_reply(self, start_link: StartLink) -> None:
        linked = start_link(limits="calls = 3")
        service, client = linked.service(), linked.b.connect()
        serials = [client.start_call(NAME, "Wait", "u", number) for number in range(4)]
        refused(client, serials[3])
        calls = [service.take(member="Wait") for _ in range(3)]
        client.start_call(NAME, "Tell", flags=Flag.NO_REPLY_EXPECTED)
        service.take(member="Tell")
        for call, serial in zip(calls, serials, strict=False):
            service.reply(call)
            client.reply_to(serial)
        serial = client.start_call(NAME, "Wait")
        service.reply(service.take(member="Wait"))
        client.reply_to(serial)

    def test_stand_ins(self, start_link: StartLink) -> None:
        linked = start_link(limits="stand_ins = 2")
        service = linked.service()
        clients = [linked.b.connect() for _ in range(3)]
        callers = []
        for client in clients[:2]:
            client.start_call(NAME, "Register", flags=Flag.NO_REPLY_EXPECTED)
            callers.append(service.take(member="Register").sender)
        assert "too many connections" in refused(clients[2], clients[2].start_call(NAME, "Register"))
        clients[0].close()
        wait_for_owner(linked.a, str(callers[0]), owner=False)
        clients[2].start_call(NAME, "Register")
        service.take(member="Register")

    def test_each_of_many_clients_is_seen_to_end(self, start_link: StartLink) -> None:
        """More clients than a stand-in may have rules: no bus has to allow it one for each."""
        many = FOLLOWED + 10
        linked = start_link(limits="stand_ins = 1000")
        service = linked.service()
        clients = [linked.b.connect() for _ in range(many)]
        callers = set()
        for client in clients:
            client.start_call(NAME, "Register", flags=Flag.NO_REPLY_EXPECTED)
            callers.add(service.take(member="Register").sender)
        assert len(callers) == many
        service.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg2=''")
        for client in clients:
            client.close()
        while callers:
            callers.discard(service.take(member="NameOwnerChanged").body[0])

    def test_many_rules_become_one(self, start_link: StartLink) -> None:
        """Never less than a client wants: one with more rules than may cross gets all signals."""
        linked = start_link(limits="rules = 4")
        service, client = linked.service(), linked.b.connect()
        for number in range(5):
            client.match(f"type='signal',sender='{NAME}',member='M{number}'")
        client.start_call(NAME, "Sync")
        service.take(member="Sync")
        service.signal("M4")
        service.signal("Other")
        client.take(member="M4")
        client.take(member="Other")
        samples = linked.link.metrics()
        assert samples['omnibus_link_widened_total{bus="b",peer="a"}'] >= 1
        assert samples['omnibus_link_rules{bus="a",peer="b"}'] == 1


class TestReaders:
    """A connection that does not read what was sent to it."""

    def test_others_are_served_beside_it(self, linked: Linked) -> None:
        service, lazy, busy = linked.service(), linked.b.connect(), linked.b.connect()
        lazy.match(f"type='signal',sender='{NAME}',member='Flood'")
        lazy.start_call(NAME, "Sync")
        service.take(member="Sync")
        for _ in range(300):
            service.signal("Flood", "ay", b"x" * 50_000)
        serial = busy.start_call(NAME, "Read")
        service.reply(service.take(member="Read"))
        busy.reply_to(serial)
        lazy.take(member="Flood")
