"""Specification, "Message Bus Names", "org.freedesktop.DBus.RequestName": owners, queues, notifications."""

from __future__ import annotations

import itertools

import pytest

from support.claimants import (
    ALLOW_REPLACEMENT,
    ALREADY_OWNER,
    DO_NOT_QUEUE,
    EXISTS,
    IN_QUEUE,
    NON_EXISTENT,
    NOT_OWNER,
    PRIMARY_OWNER,
    RELEASED,
    REPLACE_EXISTING,
    Claimants,
)
from support.daemon import Daemon
from support.message import Type
from support.raw import BUS, BUS_PATH, ERROR, BusError, Client

from .conftest import Connect


@pytest.fixture
def claimants(bus: Daemon, name: str) -> Claimants:
    return Claimants(bus, name)


class TestRequestName:
    def test_free(self, claimants: Claimants) -> None:
        """PRIMARY_OWNER: the caller is now the primary owner, and was not before."""
        assert claimants.request("A", 0) == PRIMARY_OWNER

    def test_in_queue(self, claimants: Claimants) -> None:
        """IN_QUEUE: the owner does not allow replacement, or the caller does not ask for it."""
        claimants.request("A", 0)
        assert claimants.request("B", 0) == IN_QUEUE
        assert claimants.request("C", REPLACE_EXISTING) == IN_QUEUE

    def test_replace_existing_is_queued_first(self, claimants: Claimants) -> None:
        """A request to replace an owner that doesn't allow it is queued before those that only wait."""
        claimants.request("A", 0)
        claimants.request("B", 0)
        assert claimants.request("C", REPLACE_EXISTING) == IN_QUEUE
        assert claimants.queue.names() == ["A", "C", "B"]

    def test_exists(self, claimants: Claimants) -> None:
        """EXISTS: the name has an owner, and DO_NOT_QUEUE was specified."""
        claimants.request("A", 0)
        assert claimants.request("B", DO_NOT_QUEUE) == EXISTS
        assert claimants.request("C", DO_NOT_QUEUE | REPLACE_EXISTING) == EXISTS

    def test_already_owner(self, claimants: Claimants) -> None:
        """ALREADY_OWNER: the application already is the owner."""
        claimants.request("A", 0)
        assert claimants.request("A", 0) == ALREADY_OWNER

    def test_replacement(self, claimants: Claimants) -> None:
        """An owner with ALLOW_REPLACEMENT is replaced and queued directly behind the new owner."""
        claimants.request("A", ALLOW_REPLACEMENT)
        claimants.request("B", 0)
        assert claimants.request("C", REPLACE_EXISTING) == PRIMARY_OWNER
        assert claimants.queue.names() == ["C", "A", "B"]

    def test_replacement_with_do_not_queue(self, claimants: Claimants) -> None:
        """With DO_NOT_QUEUE it leaves the queue instead."""
        claimants.request("A", ALLOW_REPLACEMENT | DO_NOT_QUEUE)
        assert claimants.request("B", REPLACE_EXISTING) == PRIMARY_OWNER
        assert claimants.queue.names() == ["B"]

    def test_replacement_from_the_queue(self, claimants: Claimants) -> None:
        claimants.request("A", ALLOW_REPLACEMENT)
        claimants.request("B", 0)
        claimants.request("C", 0)
        assert claimants.request("C", REPLACE_EXISTING) == PRIMARY_OWNER
        assert claimants.queue.names() == ["C", "A", "B"]

    def test_owner_updates_its_flags(self, claimants: Claimants) -> None:
        """A second request of the owner updates its flags."""
        claimants.request("A", 0)
        assert claimants.request("A", ALLOW_REPLACEMENT) == ALREADY_OWNER
        assert claimants.request("B", REPLACE_EXISTING) == PRIMARY_OWNER

    def test_queued_client_keeps_its_place(self, claimants: Claimants) -> None:
        """A second request of a queued client only updates its flags."""
        claimants.request("A", 0)
        claimants.request("B", 0)
        claimants.request("C", 0)
        assert claimants.request("B", ALLOW_REPLACEMENT) == IN_QUEUE
        claimants.release("A")
        assert claimants.request("C", REPLACE_EXISTING) == PRIMARY_OWNER

    def test_do_not_queue_leaves_the_queue(self, claimants: Claimants) -> None:
        """DO_NOT_QUEUE removes a queued client from the queue."""
        claimants.request("A", 0)
        claimants.request("B", 0)
        assert claimants.request("B", DO_NOT_QUEUE) == EXISTS
        assert claimants.queue.names() == ["A"]

    def test_unknown_flags(self, claimants: Claimants) -> None:
        """Undefined bits are ignored."""
        assert claimants.request("A", 0xFFFFFFF8) == PRIMARY_OWNER
        assert claimants.request("B", 0xFFFFFFFF) == EXISTS

    @pytest.mark.parametrize("first", range(8))
    def test_all_flags(self, bus: Daemon, name: str, first: int) -> None:
        """Every combination of flags of three clients that request one after the other, and then again."""
        claimants = Claimants(bus, name)
        for second, third in itertools.product(range(8), range(8)):
            claimants.request("A", first)
            claimants.request("B", second)
            claimants.request("C", third)
            claimants.request("A", second)
            claimants.request("B", first)
            for label in "BAC":
                claimants.release(label)


class TestReleaseName:
    def test_results(self, claimants: Claimants) -> None:
        """RELEASED, NON_EXISTENT, NOT_OWNER."""
        assert claimants.release("A") == NON_EXISTENT
        claimants.request("A", 0)
        assert claimants.release("B") == NOT_OWNER
        assert claimants.release("A") == RELEASED
        assert claimants.release("A") == NON_EXISTENT

    def test_next_in_queue(self, claimants: Claimants) -> None:
        """The next in the queue becomes the owner."""
        for label in "ABC":
            claimants.request(label, 0)
        claimants.release("A")
        assert claimants.queue.owner == "B"

    def test_from_the_queue(self, claimants: Claimants) -> None:
        """A queued client leaves the queue, and no other client is notified."""
        for label in "ABC":
            claimants.request(label, 0)
        assert claimants.release("B") == RELEASED
        claimants.release("A")
        assert claimants.queue.owner == "C"


class TestEndOfAnOwner:
    def test_owner(self, claimants: Claimants) -> None:
        """The names of a closed connection are released; the next in the queue becomes the owner."""
        for label in "ABC":
            claimants.request(label, 0)
        claimants.leave("A")
        assert claimants.queue.owner == "B"
        claimants.leave("B")
        assert claimants.queue.owner == "C"

    def test_in_the_queue(self, claimants: Claimants) -> None:
        for label in "ABC":
            claimants.request(label, 0)
        gone = claimants.clients["B"].unique
        claimants.leave("B")
        while claimants.clients["A"].driver("NameHasOwner", "s", gone):
            pass
        claimants.release("A")
        assert claimants.queue.owner == "C"

    def test_last(self, claimants: Claimants) -> None:
        claimants.request("A", 0)
        claimants.leave("A")
        assert claimants.queue.owner == ""


class TestRefusedNames:
    """ "Bus names": invalid names, with the reason."""

    @pytest.mark.parametrize(
        "bad", ["", "a", ".a.b", "a.b.", "a..b", "a.1b", "1a.b", "a.b c", "a." + "b" * 254, "ä.b"]
    )
    def test_invalid(self, client: Client, bad: str) -> None:
        with pytest.raises(BusError) as caught:
            client.driver("RequestName", "su", bad, 0)
        assert caught.value.name == ERROR + "InvalidArgs"
        assert caught.value.text == f'Requested bus name "{bad}" is not valid'
        with pytest.raises(BusError) as caught:
            client.driver("ReleaseName", "s", bad)
        assert caught.value.name == ERROR + "InvalidArgs"
        assert caught.value.text == f'Given bus name "{bad}" is not valid'

    @pytest.mark.parametrize("unique", [":1.99999", ":a.b"])
    def test_unique(self, client: Client, unique: str) -> None:
        """Names that begin with a colon are assigned by the bus."""
        with pytest.raises(BusError) as caught:
            client.driver("RequestName", "su", unique, 0)
        assert caught.value.name == ERROR + "InvalidArgs"
        assert caught.value.text == f"Cannot acquire a service starting with ':' such as \"{unique}\""
        with pytest.raises(BusError) as caught:
            client.driver("ReleaseName", "s", unique)
        assert caught.value.name == ERROR + "InvalidArgs"
        assert caught.value.text == f"Cannot release a service starting with ':' such as \"{unique}\""

    def test_own_unique(self, client: Client) -> None:
        with pytest.raises(BusError) as caught:
            client.driver("ReleaseName", "s", client.unique)
        assert caught.value.name == ERROR + "InvalidArgs"

    def test_of_the_bus(self, client: Client) -> None:
        """org.freedesktop.DBus is the bus's own."""
        with pytest.raises(BusError) as caught:
            client.driver("RequestName", "su", BUS, 0)
        assert caught.value.name == ERROR + "InvalidArgs"
        assert caught.value.text == (
            f'Connection "{client.unique}" is not allowed to own the service "{BUS}"because '
            "it is reserved for D-Bus' use only"
        )
        with pytest.raises(BusError) as caught:
            client.driver("ReleaseName", "s", BUS)
        assert caught.value.name == ERROR + "InvalidArgs"
        assert caught.value.text == f"Cannot release the {BUS} service because it is owned by the bus"

    @pytest.mark.parametrize("good", ["a.b", "a-b.c-d", "_a._1", "a." + "b" * 253, "A.b.C.d.E.f"])
    def test_valid(self, client: Client, good: str) -> None:
        assert client.own(good) == PRIMARY_OWNER
        assert client.driver("ReleaseName", "s", good) == RELEASED


class TestUniqueNames:
    """Unique names begin with a colon and are never reused on one bus."""

    def test_form(self, connect: Connect) -> None:
        first, second = (int(connect().unique.removeprefix(":1.")) for _ in range(2))
        assert second > first

    def test_never_reused(self, connect: Connect) -> None:
        seen = set()
        for _ in range(20):
            client = connect()
            assert client.unique not in seen
            seen.add(client.unique)
            client.close()

    def test_hello_announces(self, client: Client, bus: Daemon) -> None:
        """A new connection's name gets an owner: NameOwnerChanged, from no owner to itself."""
        client.match("type='signal',member='NameOwnerChanged'")
        new = bus.connect()
        client.expect(member="NameOwnerChanged", body=(new.unique, "", new.unique))
        new.close()
        client.expect(member="NameOwnerChanged", body=(new.unique, new.unique, ""))

    def test_order_of_hello(self, bus: Daemon) -> None:
        """The reply to Hello comes first, then NameAcquired."""
        client = bus.connect(hello=False)
        serial = client.start_call(BUS, "Hello", interface=BUS, path=BUS_PATH)
        reply = client.expect(type=Type.METHOD_RETURN, reply_serial=serial, sender=BUS)
        client.expect(type=Type.SIGNAL, member="NameAcquired", body=reply.body, destination=reply.body[0])
        assert reply.destination == reply.body[0]

    def test_hello_twice(self, client: Client) -> None:
        with pytest.raises(BusError) as caught:
            client.driver("Hello")
        assert caught.value.name == ERROR + "Failed"
        assert caught.value.text == "Already handled an Hello message"

    def test_no_announcement_without_hello(self, client: Client, bus: Daemon) -> None:
        client.match("type='signal',member='NameOwnerChanged'")
        silent = bus.connect(hello=False)
        silent.close()
        client.expect_nothing()


class TestSignals:
    """NameOwnerChanged is broadcast; NameAcquired and NameLost go to one connection."""

    def test_form(self, client: Client, other: Client, name: str) -> None:
        other.match(f"type='signal',member='NameOwnerChanged',arg0='{name}'")
        client.own(name)
        other.expect(
            type=Type.SIGNAL,
            sender=BUS,
            path=BUS_PATH,
            interface=BUS,
            member="NameOwnerChanged",
            destination=None,
            signature="sss",
            body=(name, "", client.unique),
            flags=1,
        )

    def test_form_of_the_others(self, client: Client, name: str) -> None:
        client.driver("RequestName", "su", name, 0)
        form = dict(  # noqa: C408
            type=Type.SIGNAL, sender=BUS, path=BUS_PATH, interface=BUS, signature="s", body=(name,), flags=1
        )
        client.expect(member="NameAcquired", destination=client.unique, **form)
        client.driver("ReleaseName", "s", name)
        client.expect(member="NameLost", destination=client.unique, **form)

    def test_not_without_a_rule(self, client: Client, other: Client, name: str) -> None:
        client.own(name)
        other.expect_nothing(client)

    def test_of_several_names(self, client: Client, connect: Connect) -> None:
        """The names of a closed connection are released one by one, the unique name last."""
        owner = connect()
        names = [f"org.example.Several{owner.unique.replace(':1.', 'N')}.A{number}" for number in range(5)]
        for one in names:
            owner.own(one)
        client.match("type='signal',member='NameOwnerChanged'")
        owner.close()
        gone = [client.expect(member="NameOwnerChanged").body for _ in range(6)]
        assert gone == [(one, owner.unique, "") for one in [*reversed(names), owner.unique]]

    def test_no_reply_comes_after_them(self, client: Client, connect: Connect, name: str) -> None:
        """When a callee disconnects its names are released, then NoReply is sent, the latest call first."""
        callee = connect()
        callee.own(name)
        client.match("type='signal',member='NameOwnerChanged'")
        serials = [client.start_call(callee.unique, "Hail") for _ in range(3)]
        client.sync()
        callee.close()
        messages = [client.receive() for _ in range(5)]
        kinds = [one.body[0] if one.type == Type.SIGNAL else one.reply_serial for one in messages]
        assert kinds == [name, callee.unique, *reversed(serials)]
