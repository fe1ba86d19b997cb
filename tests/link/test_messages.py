"""What a client of one bus and a service of another say to one another: all kinds of messages."""

from __future__ import annotations

import pytest

from support.message import BIG, LITTLE, Flag, Type
from support.raw import PROPERTIES, BusError
from support.wire import Variant

from .conftest import NAME, Linked, StartLink

BODY = ("sa{sv}(yn)ad", "text", {"a": Variant("u", 1), "b": Variant("as", ["x", "é"])}, (7, -3), [0.5, -1.0])
ORDERS = pytest.mark.parametrize("order", [LITTLE, BIG])


class TestCalls:
    """A call reaches the owner of the name on the other bus, and its reply the caller."""

    @ORDERS
    def test_call_and_return_keep_their_content_and_byte_order(self, linked: Linked, order: str) -> None:
        service, client = linked.service(order=order), linked.b.connect(order=order)
        serial = client.start_call(NAME, "Read", *BODY, path="/a/b", interface="org.example.I")
        call = service.take(member="Read")
        assert (call.body, call.order, call.path, call.interface) == (
            BODY[1:],
            order,
            "/a/b",
            "org.example.I",
        )
        service.reply(call, *BODY)
        reply = client.reply_to(serial)
        assert (reply.body, reply.order, reply.type) == (BODY[1:], order, Type.METHOD_RETURN)
        assert reply.sender == linked.stand_in()

    def test_empty_body(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        serial = client.start_call(NAME, "Do", interface=None)
        call = service.take(member="Do")
        assert (call.body, call.interface, call.signature) == ((), None, "")
        service.reply(call)
        assert client.reply_to(serial).body == ()

    @ORDERS
    def test_error(self, linked: Linked, order: str) -> None:
        service, client = linked.service(order=order), linked.b.connect()
        serial = client.start_call(NAME, "Fail")
        service.error(service.take(member="Fail"), "org.example.Error.Broken", "it is broken")
        with pytest.raises(BusError) as caught:
            client.reply_to(serial)
        assert (caught.value.name, caught.value.text) == ("org.example.Error.Broken", "it is broken")
        assert caught.value.reply.sender == linked.stand_in()

    def test_flags_cross(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        flags = Flag.ALLOW_INTERACTIVE_AUTHORIZATION | Flag.NO_AUTO_START
        client.start_call(NAME, "Ask", flags=flags)
        assert service.take(member="Ask").flags == flags

    def test_no_reply_is_expected(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        client.start_call(NAME, "Tell", flags=Flag.NO_REPLY_EXPECTED)
        assert service.take(member="Tell").flags & Flag.NO_REPLY_EXPECTED

    def test_by_unique_name(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        serial = client.start_call(linked.stand_in(), "Read")
        service.reply(service.take(member="Read"), "u", 5)
        assert client.reply_to(serial).body == (5,)

    def test_serials_of_clients_may_be_any(self, linked: Linked) -> None:
        """Those of the link itself never meet a client's, whichever it takes."""
        service, client = linked.service(), linked.b.connect()
        for serial in (1, 2, 3, 0xF0000001, 0xFFFFFFFF):
            client.start_call(NAME, "Read", "u", serial, serial=serial)
            call = service.take(member="Read", body=(serial,))
            service.reply(call, "u", serial)
            assert client.reply_to(serial).body == (serial,)

    def test_service_calls_its_caller(self, linked: Linked) -> None:
        """As agents are called: each remote client has a unique name of its own."""
        service = linked.service()
        clients = [linked.b.connect() for _ in range(3)]
        callers = []
        for number, client in enumerate(clients):
            client.start_call(NAME, "Register", "u", number)
            callers.append(service.take(member="Register", body=(number,)).sender)
        assert len(set(callers)) == 3
        for client, caller in zip(clients, callers, strict=True):
            serial = service.start_call(caller, "Confirm", "s", "code")
            call = client.take(member="Confirm")
            assert call.sender == linked.stand_in()
            client.reply(call, "b", True)
            assert service.reply_to(serial).body == (True,)

    def test_service_signals_its_caller_only(self, linked: Linked) -> None:
        service, client, other = linked.service(), linked.b.connect(), linked.b.connect()
        client.start_call(NAME, "Register")
        caller = service.take(member="Register").sender
        service.signal("Progress", "u", 50, destination=caller)
        assert client.take(member="Progress").body == (50,)
        other.expect_nothing()

    def test_properties(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        serial = client.start_call(NAME, "Get", "ss", "org.example.I", "Level", interface=PROPERTIES)
        service.reply(service.take(member="Get"), "v", Variant("d", 0.5))
        assert client.reply_to(serial).body == (Variant("d", 0.5),)

    def test_descriptors_are_refused_by_the_bus(self, linked: Linked) -> None:
        linked.service()
        client = linked.b.connect()
        serial = client.start_call(NAME, "Take", "h", 0, fds=[0])
        with pytest.raises(BusError) as caught:
            client.reply_to(serial)
        assert caught.value.name.startswith("org.freedesktop.DBus.Error.")

    def test_unknown_method_of_an_absent_service(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        stand_in = linked.stand_in()
        service.close()
        linked.wait_for_owner(linked.b, NAME, owner=False)
        for name in (NAME, stand_in):
            with pytest.raises(BusError) as caught:
                client.call(name, "Read", flags=Flag.NO_AUTO_START)
            assert caught.value.name.endswith((".ServiceUnknown", ".NameHasNoOwner"))


class TestLink:
    """What the link itself answers."""

    def test_its_own_calls_are_not_mixed_up(self, start_link: StartLink) -> None:
        """A client that calls while the link adds rules and watches names gets its own replies."""
        linked = start_link()
        service = linked.service()
        for number in range(30):
            client = linked.b.connect()
            client.match(f"type='signal',sender='{NAME}',member='M{number}'")
            serial = client.start_call(NAME, "Read", "u", number)
            service.reply(service.take(member="Read"), "u", number)
            assert client.reply_to(serial).body == (number,)
