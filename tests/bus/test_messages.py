"""Specification, "Message Protocol": what the bus passes on, adds and removes."""

from __future__ import annotations

import time

import pytest

from support.daemon import Daemon
from support.message import HEADER, Field, Flag, Type, frame, frame_length
from support.raw import BUS, BUS_PATH, Client, Closed
from support.wire import Variant, marshal

from .conftest import ORDERS, Connect

ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
INTERFACE = "org.example.Interface"
EVERYTHING = (
    "ybnqiuxtdsogvasa{sv}a(ii)(y(xs))aaau",
    7,
    True,
    -2,
    3,
    -(2**31),
    2**32 - 1,
    -(2**63),
    2**64 - 1,
    0.5,
    "grüß dich",
    "/org/example",
    "a{sv}",
    Variant("(sv)", ("inner", Variant("as", ["x", "y"]))),
    ["a", "", "b"],
    {"key": Variant("u", 5), "other": Variant("b", False)},
    [(1, 2), (-3, 4)],
    (9, (-5, "z")),
    [[[1, 2], []], [[3]]],
)


def raw_message(client: Client) -> bytes:
    """Take the bytes of the next message."""
    deadline = time.monotonic() + client.deadline
    length = frame_length(client.read_bytes(HEADER, deadline))
    data = client.read_bytes(length, deadline)
    del client.buffer[:length]
    return data


@ORDERS
class TestByteOrder:
    """ "l" for little-endian, "B" for big-endian; either may come from any client."""

    def test_body(self, connect: Connect, listener: Client, order: str) -> None:
        """Every type arrives as it was sent."""
        connect(order=order).signal("News", *EVERYTHING)
        received = listener.expect(member="News", signature=EVERYTHING[0])
        assert received.body == EVERYTHING[1:]

    def test_body_is_not_touched(self, connect: Connect, listener: Client, order: str) -> None:
        """The body's bytes arrive unchanged, in the sender's byte order."""
        sender = connect(order=order)
        sender.signal("News", *EVERYTHING)
        data = raw_message(listener)
        body = marshal(EVERYTHING[0], EVERYTHING[1:], order)
        assert data[:1] == order.encode()
        assert data[-len(body) :] == body

    def test_call_and_reply(self, connect: Connect, client: Client, order: str) -> None:
        """Caller and callee may have different byte orders."""
        callee = connect(order=order)
        serial = client.start_call(callee.unique, "Hail", "s", "x")
        callee.reply(callee.expect(member="Hail", body=("x",)), "i", -5)
        assert client.reply_to(serial).body == (-5,)

    def test_driver(self, connect: Connect, order: str) -> None:
        """The bus accepts both."""
        client = connect(order=order)
        assert client.driver("GetNameOwner", "s", client.unique) == client.unique
        assert client.driver("RequestName", "su", "org.example.Order", 4) == 1
        assert client.driver("ReleaseName", "s", "org.example.Order") == 1
        serial = client.start_call("org.example.Absent", "Hail")
        assert client.expect_error(serial, "org.freedesktop.DBus.Error.ServiceUnknown")

    def test_hello(self, bus: Daemon, order: str) -> None:
        client = bus.connect(order=order, hello=False)
        assert client.hello().startswith(":1.")


class TestSender:
    """SENDER: the message bus controls it, so that it is as reliable as the bus."""

    def test_added(self, client: Client, listener: Client) -> None:
        client.signal("News")
        listener.expect(member="News", sender=client.unique)

    @ORDERS
    @pytest.mark.parametrize(
        "forged", ["org.freedesktop.DBus", ":1.0", "org.example.Very.Long" + ".Name" * 20]
    )
    def test_forged(self, connect: Connect, listener: Client, forged: str, order: str) -> None:
        """A SENDER written by the client is replaced."""
        client = connect(order=order)
        client.signal("News", "u", 5, sender=forged)
        listener.expect(member="News", sender=client.unique, body=(5,))

    def test_forged_in_a_call(self, client: Client, other: Client) -> None:
        serial = client.start_call(other.unique, "Hail", sender="org.freedesktop.DBus")
        call = other.expect(member="Hail", sender=client.unique)
        other.reply(call, sender=":1.0")
        assert client.reply_to(serial).sender == other.unique

    def test_forged_to_the_bus(self, client: Client, other: Client, name: str) -> None:
        """The bus itself ignores it, too."""
        assert client.driver("RequestName", "su", name, 0, sender=other.unique) == 1
        assert client.driver("GetNameOwner", "s", name) == client.unique

    def test_forged_twice(self, client: Client, listener: Client) -> None:
        """A duplicate SENDER makes the message invalid."""
        client.signal("News", sender=":1.0", extra=((Field.SENDER, "s", ":1.0"),))
        client.expect_closed()
        listener.expect_nothing()

    def test_exactly_one(self, client: Client, listener: Client) -> None:
        client.signal("News", sender=":1.0")
        assert raw_message(listener).count(b"\7\1s\0") == 1


class TestUnknownFields:
    """Unknown header fields are removed, so that the remaining ones can be trusted."""

    @pytest.mark.parametrize(
        "extra",
        [
            (11, "s", "x"),
            (100, "a{sv}", {"a": Variant("v", Variant("u", 1))}),
            (200, "as", ["x"] * 50),
            (255, "(yy)", (1, 2)),
            (10, "o", "/org/example/Container"),
        ],
    )
    @ORDERS
    def test_stripped(
        self, connect: Connect, listener: Client, extra: tuple[int, str, object], order: str
    ) -> None:
        connect(order=order).signal("News", "s", "body", extra=(extra,))
        received = listener.expect(member="News", body=("body",))
        assert received.extra == ()

    def test_several_between(self, connect: Connect, listener: Client) -> None:
        """They are removed wherever they are among the other fields."""
        client = connect()
        fields = [
            (50, "s", "x"),
            (Field.PATH, "o", "/org/example"),
            (51, "u", 5),
            (Field.INTERFACE, "s", INTERFACE),
            (52, "as", ["a", "b"]),
            (Field.SIGNATURE, "g", "su"),
            (53, "t", 1),
            (Field.MEMBER, "s", "News"),
            (54, "y", 1),
        ]
        client.send_bytes(frame(fields, marshal("su", ["x", 7]), type=Type.SIGNAL, serial=99))
        received = listener.expect(
            member="News", path="/org/example", interface=INTERFACE, body=("x", 7), serial=99
        )
        assert received.extra == ()

    def test_in_a_call(self, client: Client, other: Client) -> None:
        client.start_call(other.unique, "Hail", extra=((77, "s", "x"),))
        assert other.expect(member="Hail").extra == ()

    def test_to_the_bus(self, client: Client) -> None:
        assert client.driver("GetId", extra=((77, "s", "x"),))

    def test_must_be_valid(self, client: Client) -> None:
        """An unknown field must be well-formed nevertheless."""
        client.signal("News", extra=((77, "o", "not a path"),))
        client.expect_closed()


class TestPassedOn:
    def test_serial(self, client: Client, listener: Client) -> None:
        """The serial is the sender's."""
        for serial in (5, 5, 1, 0xFFFFFFFF):
            client.signal("News", serial=serial)
            listener.expect(member="News", serial=serial)

    @pytest.mark.parametrize("flags", [0, 1, 2, 4, 7])
    def test_flags(self, client: Client, other: Client, flags: int) -> None:
        """The flags are passed on."""
        client.start_call(other.unique, "Hail", flags=flags)
        other.expect(member="Hail", flags=flags)

    def test_unknown_flags(self, client: Client, other: Client) -> None:
        """Unknown flags must be ignored."""
        client.start_call(other.unique, "Hail", flags=0xF0)
        assert other.expect(member="Hail").flags & 0x0F == 0

    def test_header_fields(self, client: Client, other: Client) -> None:
        client.start_call(other.unique, "Hail", "as", ["x"], path="/", interface=None)
        other.expect(
            type=Type.METHOD_CALL,
            path="/",
            interface=None,
            member="Hail",
            destination=other.unique,
            signature="as",
            body=(["x"],),
        )

    def test_destination_is_the_name_that_was_written(self, client: Client, other: Client, name: str) -> None:
        other.own(name)
        client.start_call(name, "Hail")
        other.expect(member="Hail", destination=name)

    def test_signal_with_reply_serial(self, client: Client, listener: Client) -> None:
        """Fields that a type doesn't need are passed on."""
        client.signal("News", reply_serial=5, error_name="org.example.Error")
        listener.expect(member="News", reply_serial=5, error_name="org.example.Error")

    def test_error_without_text(self, client: Client, other: Client) -> None:
        serial = client.start_call(other.unique, "Hail")
        call = other.expect(member="Hail")
        other.send(
            other.message(
                Type.ERROR,
                error_name="org.example.Error",
                reply_serial=call.serial,
                destination=client.unique,
            )
        )
        assert client.expect_error(serial, "org.example.Error") == ""


class TestUnknownType:
    """Unknown types must be ignored by receivers; the bus does not relay them."""

    @pytest.mark.parametrize("type", [5, 100, 255])
    def test_to_a_client(self, client: Client, other: Client, type: int) -> None:
        message = client.message(type, path="/a", interface=INTERFACE, member="Odd", destination=other.unique)
        text = client.expect_error(client.send(message), ACCESS_DENIED)
        assert text == "Message bus will not accept messages of unknown type"
        other.expect_nothing(client)

    @pytest.mark.parametrize("type", [5, 255])
    def test_to_an_absent_name(self, client: Client, other: Client, type: int) -> None:
        other.match("")
        client.send(client.message(type, path="/a", interface=INTERFACE, member="Odd"))
        other.expect_nothing(client)

    def test_to_the_bus(self, client: Client) -> None:
        message = client.message(9, path=BUS_PATH, interface=BUS, member="GetId", destination=BUS)
        text = client.expect_error(client.send(message), ACCESS_DENIED)
        assert text == "Message bus will not accept messages of unknown type"

    def test_without_fields(self, client: Client) -> None:
        """No header field is required of an unknown type."""
        client.send_bytes(frame([], type=77, serial=50))
        client.expect_nothing()


class TestNoDestination:
    """A message without DESTINATION that is not a signal goes to the bus itself, which implements Peer."""

    def test_ping(self, client: Client) -> None:
        reply = client.call(None, "Ping", interface=f"{BUS}.Peer", path="/")
        assert reply.body == ()

    def test_machine_id(self, client: Client) -> None:
        reply = client.call(None, "GetMachineId", interface=f"{BUS}.Peer", path="/")
        assert reply.body == (client.driver("GetMachineId", interface=f"{BUS}.Peer"),)

    def test_method(self, client: Client) -> None:
        serial = client.start_call(None, "GetId", interface=BUS, path=BUS_PATH)
        assert client.expect_error(serial, "org.freedesktop.DBus.Error.UnknownMethod")

    def test_reply(self, client: Client, other: Client) -> None:
        """A reply without destination is delivered to no client."""
        other.match("eavesdrop=true")
        client.send(client.message(Type.METHOD_RETURN, reply_serial=1))
        client.send(client.message(Type.ERROR, reply_serial=1, error_name="org.example.Error"))
        client.sync()
        other.sync()
        assert [one for one in other.inbox if one.sender == client.unique and one.destination is None] == []


class TestToTheBus:
    def test_signal(self, client: Client) -> None:
        """A signal to the bus is ignored."""
        client.signal("News", destination=BUS)
        client.expect_nothing()

    def test_reply(self, client: Client) -> None:
        """A reply to the bus is ignored."""
        client.send(client.message(Type.METHOD_RETURN, reply_serial=1, destination=BUS))
        client.expect_nothing()


class TestReplyFlags:
    def test_bus_replies_are_marked(self, client: Client) -> None:
        """Replies of the bus have NO_REPLY_EXPECTED set."""
        reply = client.call(BUS, "GetId", interface=BUS, path=BUS_PATH)
        assert reply.flags & Flag.NO_REPLY_EXPECTED
        assert reply.sender == BUS
        assert reply.destination == client.unique
        assert reply.serial > 0

    def test_no_reply_after_an_invalid_message(self, connect: Connect) -> None:
        """After an invalid message the bus sends no more replies."""
        client = connect()
        client.send_bytes(b"\0" * 100)
        with pytest.raises(Closed):
            client.driver("GetId")
