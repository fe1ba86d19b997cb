"""Specification, "Invalid Messages": their sender is disconnected, and they are not relayed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support import malformed
from support.daemon import Daemon
from support.message import BIG, LITTLE, Field, Message, Type
from support.raw import Client, Closed

from .conftest import Connect

ORDERS = pytest.mark.parametrize("order", [LITTLE, BIG], ids=["little", "big"])


@pytest.fixture
def listener(connect: Connect) -> Client:
    """A client that would receive the message if it were relayed."""
    client = connect()
    client.match(f"type='signal',interface='{malformed.INTERFACE}'")
    client.match("type='signal',interface='org.example.Interface'")
    return client


@pytest.fixture
def sender(connect: Connect, listener: Client) -> Iterator[Client]:
    """The sender, with an earlier message already delivered."""
    client = connect()
    client.signal("Before")
    listener.take(member="Before")
    yield client


def check(sender: Client, listener: Client, data: bytes) -> None:
    """Send the bytes and check that this connection is closed, with no other effect."""
    try:
        sender.send_bytes(data)
    except Closed:
        pass
    sender.expect_closed()
    listener.expect_nothing()


class TestWellFormed:
    """The templates of the cases below are valid when unchanged."""

    @ORDERS
    def test_unchanged(self, sender: Client, listener: Client, order: str) -> None:
        sender.send_bytes(malformed.signal(order))
        listener.expect(member="News", sender=sender.unique)

    @ORDERS
    @pytest.mark.parametrize(
        "case",
        [
            malformed.body("v", lambda order: malformed.nested_variants(63)),
            malformed.body("v", lambda order: malformed.in_arrays(31, malformed.nested_variants(31), order)),
            malformed.signed(""),
            malformed.body("b", malformed.raw("I", 1)),
            malformed.body("ab", malformed.raw("III", 8, 1, 0)),
            malformed.body("ax", malformed.raw("II", 0, 0)),
            malformed.body("s", ["\ufffe \U0010ffff ä"]),
            malformed.body("g", ["a" * 32 + "y"]),
            malformed.body("g", ["(" * 32 + "y" + ")" * 32]),
            malformed.body("o", ["/"]),
            malformed.field(Field.PATH, "o", "/"),
            malformed.field(Field.MEMBER, "s", "a" * 255),
            malformed.field(Field.PATH, "o", "/a_/B9/_"),
            malformed.field(Field.SENDER, "s", "org.example.Forged"),
            malformed.field(Field.UNIX_FDS, "u", 0),
        ],
    )
    def test_valid_limits(self, sender: Client, listener: Client, order: str, case: malformed.Case) -> None:
        """Messages just within the rules are relayed."""
        sender.send_bytes(case(order))
        listener.expect(interface=malformed.INTERFACE, sender=sender.unique)


@ORDERS
class TestHeader:
    @pytest.mark.parametrize("case", malformed.HEADER)
    def test_header(self, sender: Client, listener: Client, case: str, order: str) -> None:
        """ "Message Format": fixed part, array of header fields, padding."""
        check(sender, listener, malformed.HEADER[case](order))

    @pytest.mark.parametrize("case", malformed.REQUIRED)
    def test_required_fields(self, sender: Client, listener: Client, case: str, order: str) -> None:
        """ "Header Fields": which are required for which type of message."""
        check(sender, listener, malformed.REQUIRED[case](order))

    @pytest.mark.parametrize("case", malformed.WRONG_TYPE)
    def test_types_of_fields(self, sender: Client, listener: Client, case: str, order: str) -> None:
        """An unexpected type for a known header field is an invalid message."""
        check(sender, listener, malformed.WRONG_TYPE[case](order))

    @pytest.mark.parametrize("case", malformed.BAD_NAMES)
    def test_names(self, sender: Client, listener: Client, case: str, order: str) -> None:
        """ "Valid Object Paths", "Valid Names"; org.freedesktop.DBus.Local must not come from a client."""
        check(sender, listener, malformed.BAD_NAMES[case](order))

    @pytest.mark.parametrize("case", malformed.SIGNATURES)
    def test_signatures(self, sender: Client, listener: Client, case: str, order: str) -> None:
        """ "Valid Signatures": complete types, brackets that match, depth of 32."""
        check(sender, listener, malformed.SIGNATURES[case](order))


@ORDERS
class TestBody:
    @pytest.mark.parametrize("case", malformed.BODIES)
    def test_body(self, sender: Client, listener: Client, case: str, order: str) -> None:
        """ "Marshaling": lengths, padding, booleans, strings, depth of 64."""
        check(sender, listener, malformed.BODIES[case](order))


class TestUnixFds:
    def test_claimed_but_not_sent(self, sender: Client, listener: Client) -> None:
        """UNIX_FDS: the number of descriptors that accompany the message; fewer are sent."""
        check(sender, listener, malformed.signal(LITTLE, (Field.UNIX_FDS, "u", 1)))

    def test_fewer_sent(self, sender: Client, listener: Client, pipe: tuple[int, int]) -> None:
        sender.send_bytes(malformed.signal(LITTLE, (Field.UNIX_FDS, "u", 2)), pipe[:1])
        sender.expect_closed()
        listener.expect_nothing()

    def test_sent_but_not_claimed(self, sender: Client, listener: Client, pipe: tuple[int, int]) -> None:
        """A message without UNIX_FDS has no descriptors, and none may be sent with it."""
        sender.send_bytes(malformed.signal(LITTLE), pipe[:1])
        listener.expect(member="News", unix_fds=None)
        assert listener.descriptor_count() == 0

    def test_more_sent(self, sender: Client, listener: Client, pipe: tuple[int, int]) -> None:
        sender.send_bytes(malformed.signal(LITTLE, (Field.UNIX_FDS, "u", 1)), pipe)
        assert len(listener.expect(member="News", unix_fds=1).fds) == 1
        assert listener.descriptor_count() == 0

    def test_excessive_number(self, sender: Client, listener: Client, pipe: tuple[int, int]) -> None:
        check(sender, listener, malformed.signal(LITTLE, (Field.UNIX_FDS, "u", 0xFFFFFFFF)))


class TestAfterwards:
    def test_earlier_messages_are_relayed(self, sender: Client, listener: Client) -> None:
        """Messages before the invalid one, in the same write, are relayed; those after it are not."""
        good = Message(
            type=Type.SIGNAL, serial=8, path="/a", interface="org.example.Interface", member="Good"
        )
        bad = malformed.signal(LITTLE, serial=0)
        sender.send_bytes(good.encode() + bad + good.encode())
        sender.expect_closed()
        listener.expect(member="Good", sender=sender.unique)
        listener.expect_nothing()

    def test_names_are_gone(self, bus: Daemon, sender: Client, name: str) -> None:
        """The connection ends at once: its names have no owner when the client sees the end."""
        sender.own(name)
        observer = bus.connect()
        observer.match(f"type='signal',member='NameOwnerChanged',arg0='{name}'")
        sender.send_bytes(malformed.signal(LITTLE, serial=0))
        observer.expect(member="NameOwnerChanged", body=(name, sender.unique, ""))

    def test_callers_get_no_reply(self, sender: Client, listener: Client) -> None:
        serial = listener.start_call(sender.unique, "Hail")
        sender.expect(member="Hail")
        sender.send_bytes(malformed.signal(LITTLE, serial=0))
        assert listener.expect_error(serial, "org.freedesktop.DBus.Error.NoReply")

    def test_truncated(self, sender: Client, listener: Client) -> None:
        """A truncated message at the end of a connection is not relayed."""
        sender.send_bytes(malformed.signal(LITTLE)[:-5])
        sender.close()
        listener.expect_nothing()

    def test_unfinished_with_descriptors(self, sender: Client, listener: Client) -> None:
        """Descriptors of an incomplete message are closed with the connection."""
        read, write = os.pipe()
        sender.send_bytes(malformed.signal(LITTLE, (Field.UNIX_FDS, "u", 1))[:-5], [write])
        os.close(write)
        listener.sync()
        sender.close()
        assert os.read(read, 1) == b""
        os.close(read)
