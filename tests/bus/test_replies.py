"""Specification, "Method Calls" and "Message Bus Names": a reply is delivered only to its caller."""

from __future__ import annotations

import pytest

from support.daemon import Daemon
from support.message import Flag, Message, Type
from support.raw import ERROR, Client

from .conftest import Connect


class TestReply:
    def test_return(self, client: Client, other: Client) -> None:
        """METHOD_RETURN: REPLY_SERIAL is the serial of the call."""
        serial = client.start_call(other.unique, "Hail")
        other.reply(other.expect(member="Hail"), "s", "well")
        reply = client.reply_to(serial)
        assert (reply.type, reply.sender, reply.body) == (Type.METHOD_RETURN, other.unique, ("well",))

    def test_error(self, client: Client, other: Client) -> None:
        serial = client.start_call(other.unique, "Hail")
        other.error(other.expect(member="Hail"), "org.example.Error", "ill")
        assert client.expect_error(serial, "org.example.Error") == "ill"

    def test_reply_to_a_well_known_name(self, client: Client, other: Client, name: str) -> None:
        """A reply comes from the unique name, and may be addressed to any name of the caller."""
        client.own(name)
        serial = client.start_call(other.unique, "Hail")
        other.reply(other.expect(member="Hail"), destination=name)
        assert client.reply_to(serial).sender == other.unique

    def test_many_in_any_order(self, client: Client, other: Client) -> None:
        serials = [client.start_call(other.unique, "Hail", "u", number) for number in range(100)]
        calls = [other.expect(member="Hail", body=(number,)) for number in range(100)]
        for call in reversed(calls):
            other.reply(call, "u", call.body[0])
        for number, serial in reversed(list(enumerate(serials))):
            client.expect(reply_serial=serial, body=(number,))

    def test_late(self, client: Client, other: Client) -> None:
        """There is no time limit by default."""
        serial = client.start_call(other.unique, "Hail")
        call = other.expect(member="Hail")
        for _ in range(100):
            client.sync()
        other.reply(call)
        assert client.reply_to(serial).sender == other.unique


class TestUnrequested:
    """A reply without a pending call is denied; the error text names it.

    The policy is like a system bus's: that of a session bus, which allows eavesdropping, allows it.
    """

    @pytest.fixture
    def connect(self, strict_bus: Daemon) -> Connect:
        return strict_bus.connect

    def refused(self, sender: Client, message: Message, receiver: Client) -> str:
        text = sender.expect_error(sender.send(message), ERROR + "AccessDenied")
        receiver.expect_nothing(sender)
        return text

    def test_no_such_call(self, client: Client, other: Client) -> None:
        message = client.message(Type.METHOD_RETURN, reply_serial=77, destination=other.unique)
        text = self.refused(client, message, other)
        assert text.startswith("Rejected send message, ")
        assert f'type="method_return", sender="{client.unique}"' in text
        assert 'interface="(unset)" member="(unset)" error name="(unset)" requested_reply="0"' in text
        assert f'destination="{other.unique}"' in text

    def test_error(self, client: Client, other: Client) -> None:
        message = client.message(
            Type.ERROR, reply_serial=77, error_name="org.example.Error", destination=other.unique
        )
        assert 'error name="org.example.Error" requested_reply="0"' in self.refused(client, message, other)

    def test_second_reply(self, client: Client, other: Client) -> None:
        """Only the first reply passes."""
        serial = client.start_call(other.unique, "Hail")
        call = other.expect(member="Hail")
        other.reply(call)
        client.reply_to(serial)
        self.refused(
            other, other.message(Type.METHOD_RETURN, reply_serial=serial, destination=client.unique), client
        )
        self.refused(
            other,
            other.message(Type.ERROR, error_name="a.b", reply_serial=serial, destination=client.unique),
            client,
        )

    def test_wrong_serial(self, client: Client, other: Client) -> None:
        serial = client.start_call(other.unique, "Hail")
        call = other.expect(member="Hail")
        self.refused(
            other,
            other.message(Type.METHOD_RETURN, reply_serial=serial + 1, destination=client.unique),
            client,
        )
        other.reply(call)
        assert client.reply_to(serial)

    def test_by_another_client(self, client: Client, other: Client, connect: Connect) -> None:
        """No client can reply to a call of another."""
        third = connect()
        serial = client.start_call(other.unique, "Hail")
        call = other.expect(member="Hail")
        self.refused(
            third, third.message(Type.METHOD_RETURN, reply_serial=serial, destination=client.unique), client
        )
        other.reply(call)
        assert client.reply_to(serial).sender == other.unique

    def test_by_the_next_owner(self, client: Client, other: Client, connect: Connect, name: str) -> None:
        """The next owner of the called name can't reply either."""
        third = connect()
        other.own(name, 1)
        serial = client.start_call(name, "Hail")
        call = other.expect(member="Hail")
        assert third.own(name, 2) == 1
        self.refused(
            third, third.message(Type.METHOD_RETURN, reply_serial=serial, destination=client.unique), client
        )
        other.reply(call)
        assert client.reply_to(serial).sender == other.unique

    def test_not_expected(self, client: Client, other: Client) -> None:
        """NO_REPLY_EXPECTED: no reply is allowed."""
        serial = client.start_call(other.unique, "Hail", flags=Flag.NO_REPLY_EXPECTED)
        other.expect(member="Hail")
        self.refused(
            other, other.message(Type.METHOD_RETURN, reply_serial=serial, destination=client.unique), client
        )

    def test_to_a_signal(self, client: Client, other: Client) -> None:
        serial = client.signal("News", destination=other.unique)
        other.expect(member="News")
        self.refused(
            other, other.message(Type.METHOD_RETURN, reply_serial=serial, destination=client.unique), client
        )

    def test_refusal_although_no_reply_is_expected(self, client: Client, other: Client) -> None:
        """The bus sends an error nevertheless."""
        flags = Flag.NO_REPLY_EXPECTED
        self.refused(
            client,
            client.message(Type.METHOD_RETURN, reply_serial=77, destination=other.unique, flags=flags),
            other,
        )

    @pytest.mark.parametrize("to", ["org.freedesktop.DBus", ""])
    def test_to_the_bus(self, client: Client, other: Client, to: str) -> None:
        client.send(client.message(Type.METHOD_RETURN, reply_serial=1, destination=to or None))
        client.sync()
        other.expect_nothing(client)

    def test_signal_with_reply_serial(self, client: Client, other: Client) -> None:
        """A message with a REPLY_SERIAL is a reply, whatever its type."""
        serial = client.signal("News", destination=other.unique, reply_serial=5)
        assert 'type="signal"' in client.expect_error(serial, ERROR + "AccessDenied")
        other.expect_nothing(client)


class TestUnrequestedOnASessionBus:
    def test_delivered(self, client: Client, other: Client) -> None:
        client.send(client.message(Type.METHOD_RETURN, reply_serial=77, destination=other.unique))
        other.expect(type=Type.METHOD_RETURN, reply_serial=77, sender=client.unique)


class TestSameSerial:
    def test_twice_to_one(self, client: Client, other: Client) -> None:
        """A second call with the serial of a pending call is refused."""
        client.start_call(other.unique, "Hail", serial=500)
        call = other.expect(member="Hail")
        client.start_call(other.unique, "Again", serial=500)
        assert client.expect_error(500, ERROR + "AccessDenied") == (
            "Message has the same reply serial as a currently-outstanding existing method call"
        )
        other.expect_nothing(client)
        other.reply(call)
        assert client.reply_to(500).sender == other.unique

    def test_twice_to_two(self, client: Client, other: Client, connect: Connect) -> None:
        """Pending calls to different callees may have the same serial."""
        third = connect()
        client.start_call(other.unique, "Hail", serial=500)
        client.start_call(third.unique, "Hail", serial=500)
        third.reply(third.expect(member="Hail"))
        assert client.reply_to(500).sender == third.unique
        other.reply(other.expect(member="Hail"))
        assert client.reply_to(500).sender == other.unique

    def test_again_after_the_reply(self, client: Client, other: Client) -> None:
        for _ in range(3):
            client.start_call(other.unique, "Hail", serial=500)
            other.reply(other.expect(member="Hail"))
            assert client.reply_to(500)

    def test_of_two_callers(self, client: Client, other: Client, connect: Connect) -> None:
        """Serials belong to their connection."""
        third = connect()
        client.start_call(other.unique, "Hail", serial=500)
        third.start_call(other.unique, "Hail", serial=500)
        calls = [other.expect(member="Hail") for _ in range(2)]
        assert {call.sender for call in calls} == {client.unique, third.unique}
        for call in calls:
            other.reply(call)
        assert client.reply_to(500)
        assert third.reply_to(500)


class TestCalleeGone:
    """When a callee disconnects without replying, the bus replies in its place: NoReply."""

    TEXT = "Message recipient disconnected from message bus without replying"

    def test_no_reply(self, client: Client, connect: Connect) -> None:
        callee = connect()
        serial = client.start_call(callee.unique, "Hail")
        callee.expect(member="Hail")
        callee.close()
        assert client.expect_error(serial, ERROR + "NoReply") == self.TEXT

    def test_sender_is_the_bus(self, client: Client, connect: Connect) -> None:
        callee = connect()
        serial = client.start_call(callee.unique, "Hail")
        callee.expect(member="Hail")
        callee.close()
        client.expect(
            type=Type.ERROR,
            reply_serial=serial,
            sender="org.freedesktop.DBus",
            destination=client.unique,
            body=(self.TEXT,),
        )

    def test_every_call(self, client: Client, other: Client, connect: Connect, name: str) -> None:
        """Every pending call of every caller gets NoReply, whichever name was called."""
        callee = connect()
        callee.own(name)
        serials = [client.start_call(target, "Hail") for target in (callee.unique, name) * 10]
        other_serial = other.start_call(name, "Hail")
        for _ in range(21):
            callee.expect(member="Hail")
        callee.close()
        for serial in serials:
            assert client.expect_error(serial, ERROR + "NoReply") == self.TEXT
        assert other.expect_error(other_serial, ERROR + "NoReply") == self.TEXT

    def test_not_if_it_has_replied(self, client: Client, connect: Connect) -> None:
        callee = connect()
        serial = client.start_call(callee.unique, "Hail")
        callee.reply(callee.expect(member="Hail"))
        client.reply_to(serial)
        callee.close()
        while client.driver("NameHasOwner", "s", callee.unique):
            pass
        client.expect_nothing()

    def test_not_if_no_reply_is_expected(self, client: Client, connect: Connect) -> None:
        callee = connect()
        client.start_call(callee.unique, "Hail", flags=Flag.NO_REPLY_EXPECTED)
        callee.expect(member="Hail")
        callee.close()
        while client.driver("NameHasOwner", "s", callee.unique):
            pass
        client.expect_nothing()

    def test_not_if_the_name_changes(
        self, client: Client, other: Client, connect: Connect, name: str
    ) -> None:
        """The callee stays although it loses the name that was called."""
        callee = connect()
        callee.own(name)
        serial = client.start_call(name, "Hail")
        call = callee.expect(member="Hail")
        callee.driver("ReleaseName", "s", name)
        client.expect_nothing(callee)
        callee.reply(call)
        assert client.reply_to(serial)

    def test_caller_gone(self, client: Client, connect: Connect) -> None:
        """A reply to a disconnected caller gets an error and has no other effect."""
        caller = connect()
        caller.start_call(client.unique, "Hail")
        call = client.expect(member="Hail")
        caller.close()
        while client.driver("NameHasOwner", "s", caller.unique):
            pass
        assert client.expect_error(client.reply(call), ERROR + "ServiceUnknown")

    def test_reply_and_end(self, client: Client, connect: Connect) -> None:
        """A reply written before the disconnect arrives, and no NoReply after it."""
        callee = connect()
        serial = client.start_call(callee.unique, "Hail")
        callee.reply(callee.expect(member="Hail"), "s", "last words")
        callee.close()
        assert client.reply_to(serial).body == ("last words",)
        while client.driver("NameHasOwner", "s", callee.unique):
            pass
        client.expect_nothing()

    def test_call_to_oneself(self, client: Client, connect: Connect) -> None:
        """A connection with a pending call to itself disconnects without a reply."""
        lonely = connect()
        lonely.start_call(lonely.unique, "Hail")
        lonely.expect(member="Hail")
        lonely.close()
        while client.driver("NameHasOwner", "s", lonely.unique):
            pass
        client.expect_nothing()

    @pytest.mark.parametrize("count", [1, 5])
    def test_all_go_at_once(self, client: Client, connect: Connect, count: int) -> None:
        """Callers and callees with pending calls to one another may disconnect at once."""
        ring = [connect() for _ in range(count)]
        for one, next_one in zip(ring, ring[1:] + ring[:1], strict=True):
            one.start_call(next_one.unique, "Hail")
        for one in ring:
            one.close()
        for one in ring:
            while client.driver("NameHasOwner", "s", one.unique):
                pass
        client.expect_nothing()
