"""Signals cross if a client of the other bus has a rule for them, and no others."""

from __future__ import annotations

import pytest

from support.message import BIG, LITTLE
from support.raw import PROPERTIES

from .conftest import NAME, Linked

I = "org.example.Interface"  # noqa: E741


def crossed(linked: Linked) -> int:
    """How many messages have crossed towards b."""
    return linked.link.metrics()['omnibus_link_sent_total{bus="a",peer="b"}']


class TestSignals:
    """A signal of the owner of an imported name."""

    @pytest.mark.parametrize("order", [LITTLE, BIG])
    def test_content(self, linked: Linked, order: str) -> None:
        service, client = linked.service(order=order), linked.b.connect()
        client.match(f"type='signal',sender='{NAME}'")
        client.start_call(NAME, "Sync")
        service.take(member="Sync")
        service.signal("Changed", "sau", "x", [1, 2], path="/a/b")
        signal = client.take(member="Changed")
        assert (signal.body, signal.order, signal.path) == (("x", [1, 2]), order, "/a/b")
        assert signal.sender == linked.stand_in()

    @pytest.mark.parametrize(
        "rule",
        [
            "type='signal',sender='{name}',member='Wanted'",
            "sender='{name}',member='Wanted'",
            "type='signal',interface='{i}',member='Wanted'",
            "type='signal',sender='{unique}',member='Wanted'",
            "type='signal',path='/org/example/Object',member='Wanted'",
            "type='signal',path_namespace='/org/example',member='Wanted'",
            "type='signal',sender='{name}',arg0='yes'",
            "type='signal',sender='{name}',arg0namespace='yes'",
            "type='signal',sender='{name}',member='Wanted',arg0='it'\\''s'",
        ],
    )
    def test_only_what_a_rule_matches_crosses(self, linked: Linked, rule: str) -> None:
        service, client = linked.service(), linked.b.connect()
        value = "it's" if "it'" in rule else "yes"
        client.match(rule.format(name=NAME, unique=linked.stand_in(), i=I))
        client.start_call(NAME, "Sync")
        service.take(member="Sync")
        before = crossed(linked)
        for _ in range(5):
            service.signal("Unwanted", "s", "no", path="/org/elsewhere")
        service.signal("Wanted", "s", value)
        assert client.take(member="Wanted").body == (value,)
        assert crossed(linked) == before + 1

    def test_nothing_crosses_when_the_rule_is_removed(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        rule = f"type='signal',sender='{NAME}'"
        client.match(rule)
        client.driver("RemoveMatch", "s", rule)
        client.start_call(NAME, "Sync")
        call = service.take(member="Sync")
        before = crossed(linked)
        service.signal("Changed")
        service.reply(call)
        client.take(reply_serial=client.serial)
        assert crossed(linked) == before + 1  # the reply
        assert client.inbox == []

    def test_rules_that_were_there_before_the_service(self, linked: Linked) -> None:
        client = linked.b.connect()
        client.match(f"type='signal',sender='{NAME}',member='Changed'")
        service = linked.service()
        client.start_call(NAME, "Sync")
        service.take(member="Sync")
        service.signal("Changed")
        client.take(member="Changed")

    def test_each_client_gets_what_it_wants(self, linked: Linked) -> None:
        service = linked.service()
        clients = [linked.b.connect() for _ in range(3)]
        for number, client in enumerate(clients):
            client.match(f"type='signal',sender='{NAME}',member='M{number}'")
            client.start_call(NAME, "Sync")
            service.take(member="Sync")
        for number in range(3):
            service.signal(f"M{number}")
        for number, client in enumerate(clients):
            client.take(member=f"M{number}")
            client.expect_nothing()

    def test_properties_changed(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        client.match(f"type='signal',sender='{NAME}',interface='{PROPERTIES}',arg0='org.example.I'")
        client.start_call(NAME, "Sync")
        service.take(member="Sync")
        service.signal("PropertiesChanged", "sa{sv}as", "org.example.I", {}, ["Level"], interface=PROPERTIES)
        assert client.take(member="PropertiesChanged").body == ("org.example.I", {}, ["Level"])

    def test_signals_of_others_do_not_cross(self, linked: Linked) -> None:
        """A rule without a sender is one about imported names alone."""
        service, client, stranger = linked.service(), linked.b.connect(), linked.a.connect()
        client.match("type='signal',member='Changed'")
        client.start_call(NAME, "Sync")
        service.take(member="Sync")
        stranger.signal("Changed", "s", "stranger")
        stranger.sync()
        service.signal("Changed", "s", "service")
        assert client.take(member="Changed").body == ("service",)
