"""Specification, "Message Bus Message Routing": the recipients of a message, and the order of delivery."""

from __future__ import annotations

from support.message import Flag, Type
from support.raw import BUS, BUS_PATH, ERROR, PEER, Client

from .conftest import Connect

INTERFACE = "org.example.Interface"
SIGNALS = f"type='signal',interface='{INTERFACE}'"


class TestUnicast:
    """ "Unicast messages": DESTINATION is a unique or well-known name, and its owner gets the message."""

    def test_unique_name(self, client: Client, other: Client) -> None:
        client.start_call(other.unique, "Hail")
        other.expect(type=Type.METHOD_CALL, member="Hail", sender=client.unique, destination=other.unique)

    def test_well_known_name(self, client: Client, other: Client, name: str) -> None:
        other.own(name)
        client.start_call(name, "Hail")
        other.expect(type=Type.METHOD_CALL, member="Hail", sender=client.unique, destination=name)

    def test_no_other_recipient(self, client: Client, other: Client, connect: Connect) -> None:
        """Other connections don't get it, whatever their match rules."""
        bystander = connect()
        bystander.match("")
        bystander.match(SIGNALS)
        client.start_call(other.unique, "Hail")
        client.signal("News", destination=other.unique)
        other.expect(member="Hail")
        other.expect(member="News")
        client.sync()
        bystander.sync()
        assert [one for one in bystander.inbox if one.member in ("Hail", "News")] == []

    def test_to_oneself(self, client: Client) -> None:
        """A connection may call itself."""
        serial = client.start_call(client.unique, "Hail", "s", "me")
        call = client.expect(member="Hail", sender=client.unique, body=("me",))
        client.reply(call, "s", "you")
        assert client.reply_to(serial).body == ("you",)

    def test_only_the_primary_owner(self, client: Client, other: Client, connect: Connect, name: str) -> None:
        """Of the claimants of a name, only the primary owner gets messages to it."""
        other.own(name)
        queued = connect()
        assert queued.own(name) == 2
        client.start_call(name, "Hail")
        other.expect(member="Hail")
        queued.expect_nothing(client)

    def test_new_owner(self, client: Client, other: Client, connect: Connect, name: str) -> None:
        """After a change the new owner gets them."""
        other.own(name)
        queued = connect()
        queued.own(name)
        other.driver("ReleaseName", "s", name)
        client.start_call(name, "Hail")
        queued.take(member="Hail", destination=name)

    def test_signal(self, client: Client, other: Client) -> None:
        """A signal with a destination is delivered without a match rule."""
        client.signal("News", "s", "x", destination=other.unique)
        other.expect(type=Type.SIGNAL, member="News", body=("x",), destination=other.unique)

    def test_signal_that_matches_too(self, client: Client, other: Client) -> None:
        """It is delivered once, also if a rule matches it."""
        other.match(SIGNALS)
        client.signal("News", destination=other.unique)
        other.expect(member="News")
        other.expect_nothing(client)


class TestNoOwner:
    def test_unknown_name(self, client: Client, name: str) -> None:
        """A name without an owner and without a service: ServiceUnknown."""
        text = client.expect_error(client.start_call(name, "Hail"), ERROR + "ServiceUnknown")
        assert text == f"The name {name} was not provided by any .service files"

    def test_no_auto_start(self, client: Client, name: str) -> None:
        """NO_AUTO_START: the bus must not launch an owner: NameHasNoOwner."""
        serial = client.start_call(name, "Hail", flags=Flag.NO_AUTO_START)
        assert client.expect_error(serial, ERROR + "NameHasNoOwner") == f'Name "{name}" does not exist'

    def test_unique_name_that_never_was(self, client: Client) -> None:
        text = client.expect_error(client.start_call(":1.99999", "Hail"), ERROR + "ServiceUnknown")
        assert text == "The name :1.99999 was not provided by any .service files"

    def test_unique_name_that_is_gone(self, client: Client, connect: Connect) -> None:
        gone = connect()
        gone.close()
        while client.driver("NameHasOwner", "s", gone.unique):
            pass
        serial = client.start_call(gone.unique, "Hail", flags=Flag.NO_AUTO_START)
        assert client.expect_error(serial, ERROR + "NameHasNoOwner") == f'Name "{gone.unique}" does not exist'

    def test_error_although_no_reply_is_expected(self, client: Client, name: str) -> None:
        """The bus sends an error nevertheless."""
        serial = client.start_call(name, "Hail", flags=Flag.NO_REPLY_EXPECTED)
        assert client.expect_error(serial, ERROR + "ServiceUnknown")

    def test_signal(self, client: Client, name: str) -> None:
        """A unicast signal to an absent name is answered with an error, too."""
        serial = client.signal("News", destination=name)
        assert client.expect_error(serial, ERROR + "ServiceUnknown").startswith(f"The name {name} ")

    def test_unrequested_reply(self, client: Client) -> None:
        message = client.message(Type.METHOD_RETURN, reply_serial=5, destination=":1.99999")
        assert client.expect_error(client.send(message), ERROR + "ServiceUnknown")

    def test_sender_goes_on(self, client: Client, other: Client, name: str) -> None:
        """Later messages of the sender aren't delayed, and the errors come in order."""
        first = client.start_call(name, "Hail")
        client.signal("News", destination=other.unique)
        second = client.start_call(name, "Hail")
        other.expect(member="News")
        client.expect(type=Type.ERROR, reply_serial=first)
        client.expect(type=Type.ERROR, reply_serial=second)


class TestBroadcast:
    """ "Broadcast messages": a signal without DESTINATION goes to all connections with a matching rule."""

    def test_matching(self, client: Client, other: Client) -> None:
        other.match(SIGNALS)
        client.signal("News", "s", "x")
        other.expect(type=Type.SIGNAL, member="News", sender=client.unique, destination=None, body=("x",))

    def test_not_matching(self, client: Client, other: Client) -> None:
        other.match("type='signal',interface='org.example.Another'")
        client.signal("News")
        other.expect_nothing(client)

    def test_no_rules(self, client: Client, other: Client) -> None:
        client.signal("News")
        other.expect_nothing(client)

    def test_to_many(self, client: Client, connect: Connect) -> None:
        listeners = [connect() for _ in range(30)]
        for listener in listeners:
            listener.match(SIGNALS)
        for number in range(10):
            client.signal("News", "u", number)
        for listener in listeners:
            for number in range(10):
                listener.expect(member="News", body=(number,))

    def test_sender_is_a_subscriber(self, client: Client) -> None:
        """The sender gets it if it has a matching rule."""
        client.match(SIGNALS)
        client.signal("News")
        client.expect(member="News", sender=client.unique)

    def test_once(self, client: Client, other: Client) -> None:
        """Several matching rules deliver one message."""
        for rule in (SIGNALS, "type='signal'", f"sender='{client.unique}'", f"interface='{INTERFACE}'"):
            other.match(rule)
        client.signal("News")
        client.signal("Last")
        other.expect(member="News")
        other.expect(member="Last")


class TestOrder:
    """Programs rely on the order of messages, which the specification hardly mentions."""

    COUNT = 200

    def test_of_one_sender(self, client: Client, other: Client) -> None:
        """Messages of one connection to another arrive in the order in which they were sent."""
        other.match(SIGNALS)
        for number in range(self.COUNT):
            if number % 3 == 0:
                client.signal("News", "u", number)
            elif number % 3 == 1:
                client.start_call(other.unique, "Hail", "u", number, flags=Flag.NO_REPLY_EXPECTED)
            else:
                client.signal("News", "u", number, destination=other.unique)
        for number in range(self.COUNT):
            other.expect(sender=client.unique, body=(number,))

    def test_of_the_bus_and_others(self, client: Client, other: Client, name: str) -> None:
        """Signals of the bus keep their place among those of a client."""
        other.match(SIGNALS)
        other.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{name}'")
        for number in range(20):
            client.signal("Before", "u", number)
            client.own(name)
            client.signal("Between", "u", number)
            client.driver("ReleaseName", "s", name)
            client.signal("After", "u", number)
        for number in range(20):
            other.expect(member="Before", body=(number,))
            other.expect(member="NameOwnerChanged", body=(name, "", client.unique))
            other.expect(member="Between", body=(number,))
            other.expect(member="NameOwnerChanged", body=(name, client.unique, ""))
            other.expect(member="After", body=(number,))

    def test_pipelined_driver_calls(self, client: Client, other: Client, name: str) -> None:
        """The same if the client doesn't wait for the replies of the bus."""
        other.match(SIGNALS)
        other.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{name}'")
        for number in range(20):
            client.start_call(BUS, "RequestName", "su", name, 0, interface=BUS, path=BUS_PATH)
            client.signal("Between", "u", number)
            client.start_call(BUS, "ReleaseName", "s", name, interface=BUS, path=BUS_PATH)
            client.signal("After", "u", number)
        for number in range(20):
            other.expect(member="NameOwnerChanged", body=(name, "", client.unique))
            other.expect(member="Between", body=(number,))
            other.expect(member="NameOwnerChanged", body=(name, client.unique, ""))
            other.expect(member="After", body=(number,))

    def test_of_two_broadcasters(self, connect: Connect) -> None:
        """Two broadcasts arrive in the same order at all subscribers."""
        senders = [connect() for _ in range(4)]
        listeners = [connect() for _ in range(5)]
        for listener in listeners:
            listener.match(SIGNALS)
        for number in range(50):
            for sender in senders:
                sender.signal("News", "u", number)
        seen = []
        for listener in listeners:
            messages = [listener.expect(member="News") for _ in range(50 * len(senders))]
            seen.append([(one.sender, one.body) for one in messages])
        assert all(one == seen[0] for one in seen)
        for sender in senders:
            assert [body for origin, body in seen[0] if origin == sender.unique] == [
                (number,) for number in range(50)
            ]

    def test_cause_and_effect(self, client: Client, other: Client, connect: Connect) -> None:
        """A message never arrives before a message that caused it."""
        third = connect()
        for listener in (other, third):
            listener.match(SIGNALS)
        for number in range(50):
            client.signal("Cause", "u", number)
            other.expect(member="Cause", body=(number,))
            other.signal("Effect", "u", number, destination=third.unique)
            third.expect(member="Cause", body=(number,), sender=client.unique)
            third.expect(member="Effect", body=(number,), sender=other.unique)

    def test_reply_after_signals(self, client: Client, other: Client) -> None:
        """Signals that a callee sent before its reply arrive before the reply."""
        client.match(SIGNALS)
        for number in range(20):
            serial = client.start_call(other.unique, "Change")
            call = other.expect(member="Change")
            other.signal("Changed", "u", number)
            other.reply(call)
            client.expect(member="Changed", body=(number,))
            client.expect(type=Type.METHOD_RETURN, reply_serial=serial)

    def test_no_signal_is_lost_after_add_match(self, client: Client, other: Client) -> None:
        """AddMatch, then a call that causes a signal, without waiting for the reply in between."""
        for number in range(20):
            rule = f"type='signal',interface='{INTERFACE}',member='Changed{number}'"
            client.start_call(BUS, "AddMatch", "s", rule, interface=BUS, path=BUS_PATH)
            serial = client.start_call(other.unique, "Change")
            call = other.expect(member="Change")
            other.signal(f"Changed{number}")
            other.reply(call)
            client.take(member=f"Changed{number}")
            client.reply_to(serial)

    def test_no_signal_after_remove_match(self, client: Client, other: Client) -> None:
        """After the reply to RemoveMatch no signal arrives."""
        other.match(SIGNALS)
        client.signal("News")
        client.sync()
        other.driver("RemoveMatch", "s", SIGNALS)
        client.signal("Late")
        client.sync()
        other.take(member="News")
        other.expect_nothing(client)

    def test_replies_of_the_bus_are_in_order(self, client: Client, name: str) -> None:
        """Replies of the bus come in the order of the calls, whichever plane answers."""
        members = [
            ("GetId", "", ()),
            ("RequestName", "su", (name, 0)),
            ("GetNameOwner", "s", (name,)),
            ("NoSuchMethod", "", ()),
            ("ListNames", "", ()),
            ("ReleaseName", "s", (name,)),
            ("NameHasOwner", "s", (name,)),
            ("GetConnectionCredentials", "s", (client.unique,)),
            ("GetConnectionUnixUser", "s", ("org.example.Absent",)),
            ("AddMatch", "s", ("type='signal'",)),
        ]
        serials = [
            client.start_call(BUS, member, signature, *body, interface=BUS, path=BUS_PATH)
            for _ in range(5)
            for member, signature, body in members
        ]
        replies: list[int | None] = []
        while len(replies) < len(serials):
            message = client.receive()
            if message.type != Type.SIGNAL:
                replies.append(message.reply_serial)
        assert replies == serials

    def test_name_seen_after_its_signal(self, client: Client, other: Client, name: str) -> None:
        """A client that has received NameOwnerChanged can call the name at once."""
        client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{name}'")
        other.own(name)
        client.expect(member="NameOwnerChanged")
        client.start_call(name, "Hail")
        other.expect(member="Hail", destination=name)


class TestSlowReader:
    """A connection that doesn't read affects neither its senders nor other clients."""

    def test_others_go_on(self, client: Client, other: Client, connect: Connect) -> None:
        stuck = connect()
        stuck.match(SIGNALS)
        client.match(SIGNALS)
        data = bytes(1 << 16)
        for number in range(100):
            other.signal("News", "uay", number, data)
            client.expect(member="News", body=(number, data))
        assert other.driver("GetId")
        for number in range(100):
            stuck.expect(member="News", body=(number, data))

    def test_nothing_is_lost(self, client: Client, other: Client) -> None:
        """Messages that did not fit into the socket arrive later, complete and in order."""
        sizes = [1, 1 << 18, 10, 1 << 19, 100, 1 << 20, 7]
        for size in sizes * 3:
            client.start_call(other.unique, "Hail", "ay", bytes(size), flags=Flag.NO_REPLY_EXPECTED)
        client.sync()
        for size in sizes * 3:
            other.expect(member="Hail", body=(bytes(size),))

    def test_it_can_still_send(self, client: Client, other: Client) -> None:
        """Messages of the slow reader itself are processed."""
        other.match(SIGNALS)
        for _ in range(50):
            other.start_call(client.unique, "Hail", "ay", bytes(1 << 16), flags=Flag.NO_REPLY_EXPECTED)
        other.sync()
        client.signal("News")
        other.expect(member="News")
        assert len([client.expect(member="Hail") for _ in range(50)]) == 50


class TestPeer:
    """org.freedesktop.DBus.Peer concerns the two ends: the bus passes it on."""

    def test_ping_of_another(self, client: Client, other: Client) -> None:
        serial = client.start_call(other.unique, "Ping", interface=PEER, path="/")
        other.reply(other.expect(member="Ping", interface=PEER))
        assert client.reply_to(serial).sender == other.unique
