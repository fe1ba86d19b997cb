"""Specification, "Match Rules", eavesdrop: which clients get messages to other destinations."""

from __future__ import annotations

import pytest

from support.daemon import Daemon
from support.message import Flag, Type
from support.raw import BUS, BUS_PATH, Client

from .conftest import Connect


@pytest.fixture
def sender(connect: Connect) -> Client:
    return connect()


class TestNoEavesdropping:
    """Without eavesdrop='true' a rule matches broadcasts only."""

    @pytest.mark.parametrize(
        "rule", ["", "type='signal'", "type='method_call'", "member='News'", "member='Hail'"]
    )
    def test_unicast(self, sender: Client, other: Client, connect: Connect, rule: str) -> None:
        third = connect()
        third.match(rule)
        sender.start_call(other.unique, "Hail", flags=Flag.NO_REPLY_EXPECTED)
        sender.signal("News", destination=other.unique)
        sender.sync()
        third.sync()
        assert [one.member for one in third.inbox if one.sender == sender.unique] == []


class TestEavesdropping:
    """eavesdrop='true': messages to others too, if the policy allows it; a session bus does."""

    @pytest.fixture
    def spy(self, connect: Connect) -> Client:
        return connect()

    def test_signal(self, sender: Client, other: Client, spy: Client) -> None:
        spy.match("eavesdrop='true',member='News'")
        sender.signal("News", destination=other.unique)
        other.expect(member="News")
        spy.expect(member="News", sender=sender.unique, destination=other.unique)

    def test_call_and_reply(self, sender: Client, other: Client, spy: Client) -> None:
        spy.match(f"eavesdrop='true',sender='{sender.unique}'")
        spy.match(f"eavesdrop='true',destination='{sender.unique}'")
        serial = sender.start_call(other.unique, "Hail", "s", "x")
        other.reply(other.expect(member="Hail"), "s", "y")
        sender.reply_to(serial)
        spy.expect(type=Type.METHOD_CALL, member="Hail", body=("x",), destination=other.unique)
        spy.expect(type=Type.METHOD_RETURN, reply_serial=serial, body=("y",), destination=sender.unique)

    def test_error(self, sender: Client, other: Client, spy: Client) -> None:
        spy.match("eavesdrop='true',type='error'")
        sender.start_call(other.unique, "Hail")
        other.error(other.expect(member="Hail"), "org.example.Error", "x")
        spy.expect(type=Type.ERROR, error_name="org.example.Error", destination=sender.unique)

    def test_call_of_the_bus(self, sender: Client, spy: Client) -> None:
        """Calls of the bus are seen too, but not its replies."""
        spy.match(f"eavesdrop='true',sender='{sender.unique}'")
        spy.match(f"eavesdrop='true',destination='{sender.unique}'")
        for _ in range(2):
            serial = sender.start_call(BUS, "GetId", interface=BUS, path=BUS_PATH)
            spy.expect(type=Type.METHOD_CALL, member="GetId", serial=serial, destination=BUS)

    def test_destination(self, sender: Client, other: Client, spy: Client, name: str) -> None:
        """destination='name': messages to the owner of the name."""
        other.own(name)
        spy.match(f"eavesdrop='true',destination='{name}'")
        sender.signal("News", "u", 1, destination=name)
        sender.signal("News", "u", 2, destination=sender.unique)
        spy.expect(body=(1,), destination=name)
        spy.expect_nothing(sender)

    def test_descriptors(self, sender: Client, other: Client, spy: Client, pipe: tuple[int, int]) -> None:
        spy.match("eavesdrop='true',member='Take'")
        sender.start_call(other.unique, "Take", "h", 0, fds=pipe[:1])
        assert len(other.expect(member="Take").fds) == 1
        assert len(spy.expect(member="Take").fds) == 1

    def test_false(self, sender: Client, other: Client, spy: Client) -> None:
        spy.match("eavesdrop='false',member='News'")
        sender.signal("News", destination=other.unique)
        spy.expect_nothing(sender)

    def test_removed(self, sender: Client, other: Client, spy: Client) -> None:
        spy.match("eavesdrop='true',member='News'")
        spy.driver("RemoveMatch", "s", "eavesdrop='true',member='News'")
        sender.signal("News", destination=other.unique)
        spy.expect_nothing(sender)

    def test_receiver_gets_it_once(self, sender: Client, other: Client) -> None:
        other.match("eavesdrop='true',member='News'")
        sender.signal("News", destination=other.unique)
        other.expect(member="News")
        other.expect_nothing(sender)

    def test_not_allowed(self, strict_bus: Daemon) -> None:
        """With a policy like that of a system bus the rule is accepted, and matches nothing."""
        sender, other, spy = (strict_bus.connect() for _ in range(3))
        spy.match("eavesdrop='true'")
        sender.start_call(other.unique, "Hail")
        other.expect(member="Hail")
        sender.sync()
        spy.sync()
        assert [one for one in spy.inbox if one.member == "Hail"] == []
