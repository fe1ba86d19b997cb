"""Specification, "Unix File Descriptor Passing": descriptors accompany their message, and no other."""

from __future__ import annotations

import os

import pytest

from support.daemon import Daemon
from support.message import BIG, LITTLE, Field, Type, frame
from support.raw import Client
from support.wire import marshal

from .conftest import Connect

SIGNALS = "type='signal',interface='org.example.Interface'"
NOT_SUPPORTED = "org.freedesktop.DBus.Error.NotSupported"


def speaks(received: int, other_end: int, word: bytes = b"word") -> bool:
    """Return whether data written to ``other_end`` can be read from the received descriptor."""
    os.write(other_end, word)
    return os.read(received, len(word)) == word


class TestUnicast:
    @pytest.mark.parametrize("order", [LITTLE, BIG])
    def test_one(self, connect: Connect, other: Client, pipe: tuple[int, int], order: str) -> None:
        """UNIX_FDS: the number of descriptors with the message; "h" is an index into them."""
        client = connect(order=order)
        client.start_call(other.unique, "Take", "sh", "x", 0, fds=pipe[:1])
        call = other.expect(member="Take", body=("x", 0), unix_fds=1)
        assert speaks(call.fds[0], pipe[1])

    def test_in_a_reply(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        serial = client.start_call(other.unique, "Open")
        other.reply(other.expect(member="Open"), "h", 0, fds=pipe[:1])
        reply = client.reply_to(serial)
        assert reply.unix_fds == 1
        assert speaks(reply.fds[0], pipe[1])

    def test_in_an_error(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        """Any message may carry descriptors."""
        serial = client.start_call(other.unique, "Open")
        call = other.expect(member="Open")
        message = other.message(
            Type.ERROR,
            "h",
            0,
            error_name="org.example.Error",
            destination=client.unique,
            reply_serial=call.serial,
            unix_fds=1,
        )
        other.send(message, pipe[:1])
        received = client.expect(type=Type.ERROR, reply_serial=serial)
        assert speaks(received.fds[0], pipe[1])

    def test_order(self, client: Client, other: Client) -> None:
        """Several descriptors arrive in the order in which they were sent."""
        pipes = [os.pipe() for _ in range(10)]
        client.start_call(other.unique, "Take", "ah", list(range(10)), fds=[read for read, _ in pipes])
        call = other.expect(member="Take", unix_fds=10)
        for number, (_, write) in enumerate(pipes):
            assert speaks(call.fds[number], write, b"%d" % number)
        for ends in pipes:
            os.close(ends[0])
            os.close(ends[1])

    def test_without_h(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        """Descriptors to which the body does not refer are passed on all the same."""
        client.start_call(other.unique, "Take", fds=pipe)
        assert len(other.expect(member="Take", unix_fds=2).fds) == 2

    def test_same_twice(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        client.start_call(other.unique, "Take", "hh", 0, 1, fds=[pipe[0], pipe[0]])
        one, two = other.expect(member="Take").fds
        assert os.path.sameopenfile(one, two)

    def test_to_oneself(self, client: Client, pipe: tuple[int, int]) -> None:
        client.start_call(client.unique, "Take", "h", 0, fds=pipe[:1])
        assert speaks(client.expect(member="Take").fds[0], pipe[1])

    def test_socket_of_the_receiver(self, client: Client, other: Client) -> None:
        """A receiver's own socket is a descriptor like any other."""
        client.start_call(other.unique, "Take", "h", 0, fds=[other.socket.fileno()])
        assert os.path.sameopenfile(other.expect(member="Take").fds[0], other.socket.fileno())


class TestStream:
    def test_among_messages_without(self, client: Client, other: Client) -> None:
        """Each message keeps its own descriptors, however many messages one read returns."""
        for number in range(30):
            read, write = os.pipe()
            client.start_call(other.unique, "Plain", "u", number)
            client.start_call(other.unique, "Take", "hu", 0, number, fds=[read])
            os.write(write, b"%d" % number)
            os.close(read)
            os.close(write)
        for number in range(30):
            assert other.expect(member="Plain", body=(number,)).fds == []
            call = other.expect(member="Take", body=(0, number))
            assert os.read(call.fds[0], 10) == b"%d" % number

    def test_several_messages_in_one_write(
        self, client: Client, other: Client, pipe: tuple[int, int]
    ) -> None:
        """The descriptors of one write are assigned to its messages in order."""
        data = b"".join(
            client.message(
                Type.SIGNAL,
                "h",
                0,
                path="/a",
                interface="org.example.Interface",
                member="News",
                destination=other.unique,
                unix_fds=1,
            ).encode()
            for _ in range(2)
        )
        client.send_bytes(data, pipe)
        first, second = other.expect(member="News"), other.expect(member="News")
        assert os.path.sameopenfile(first.fds[0], pipe[0])
        assert os.path.sameopenfile(second.fds[0], pipe[1])

    def test_in_pieces(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        """Descriptors come with the beginning of their message; the remainder may be split anywhere."""
        for cut in (1, 15, 16, 17, 60, -1):
            message = client.message(
                Type.METHOD_CALL, "h", 0, path="/a", member="Take", destination=other.unique, unix_fds=1
            ).encode()
            client.send_bytes(message[:cut], pipe[:1])
            client.send_bytes(message[cut:])
            assert os.path.sameopenfile(other.expect(member="Take").fds[0], pipe[0])

    @pytest.mark.deviation("stray-descriptors")
    def test_with_the_rest(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        """No message begins in the bytes that the descriptor came with."""
        message = client.message(
            Type.METHOD_CALL, "h", 0, path="/a", member="Take", destination=other.unique, unix_fds=1
        ).encode()
        client.send_bytes(message[:-3])
        client.wait_until_read()
        client.send_bytes(message[-3:], pipe[:1])
        client.expect_closed()

    def test_large_body(self, client: Client, other: Client, pipe: tuple[int, int]) -> None:
        """The body does not fit into the socket buffer."""
        for number in range(3):
            client.start_call(other.unique, "Take", "hay", 0, bytes(1 << 20), fds=[pipe[number % 2]])
        client.sync()
        for number in range(3):
            assert os.path.sameopenfile(other.expect(member="Take").fds[0], pipe[number % 2])


class TestBroadcast:
    def test_to_all(self, client: Client, connect: Connect, pipe: tuple[int, int]) -> None:
        """Every subscriber gets descriptors of its own."""
        listeners = [connect() for _ in range(5)]
        for listener in listeners:
            listener.match(SIGNALS)
        client.signal("News", "hs", 0, "x", fds=pipe[:1])
        for listener in listeners:
            received = listener.expect(member="News", body=(0, "x"), unix_fds=1)
            assert speaks(received.fds[0], pipe[1])

    def test_subscriber_without_negotiation(
        self, client: Client, connect: Connect, pipe: tuple[int, int]
    ) -> None:
        """A subscriber that did not negotiate descriptors is skipped; the others get the message."""
        without, with_fds = connect(unix_fds=False), connect()
        without.match(SIGNALS)
        with_fds.match(SIGNALS)
        client.signal("News", "h", 0, fds=pipe[:1])
        client.signal("More")
        assert len(with_fds.expect(member="News").fds) == 1
        with_fds.expect(member="More")
        without.expect(member="More")
        client.expect_nothing()


class TestNotNegotiated:
    def test_unicast(self, client: Client, connect: Connect, pipe: tuple[int, int]) -> None:
        """A message with descriptors to a client that did not negotiate them is refused."""
        callee = connect(unix_fds=False)
        serial = client.start_call(callee.unique, "Take", "h", 0, fds=pipe[:1])
        text = client.expect_error(serial, NOT_SUPPORTED)
        assert text == (
            "Tried to send message with Unix file descriptorsto a client that doesn't support that."
        )
        callee.expect_nothing(client)

    def test_other_messages_are_delivered(self, client: Client, connect: Connect) -> None:
        callee = connect(unix_fds=False)
        serial = client.start_call(callee.unique, "Hail")
        callee.reply(callee.expect(member="Hail"))
        assert client.reply_to(serial)

    def test_unix_fds_0(self, client: Client, connect: Connect) -> None:
        """A message with UNIX_FDS of 0 carries no descriptors."""
        callee = connect(unix_fds=False)
        client.start_call(callee.unique, "Hail", unix_fds=0)
        callee.expect(member="Hail")


class TestToTheBus:
    def test_ignored(self, client: Client, pipe: tuple[int, int]) -> None:
        """The bus closes the descriptors in calls of its own methods."""
        read, write = os.pipe()
        assert client.driver("GetId", fds=[write])
        os.close(write)
        assert os.read(read, 1) == b""
        os.close(read)

    def test_wrong_arguments(self, client: Client) -> None:
        read, write = os.pipe()
        serial = client.start_call(
            "org.freedesktop.DBus", "GetNameOwner", "h", 0, interface="org.freedesktop.DBus", fds=[write]
        )
        assert client.expect_error(serial, "org.freedesktop.DBus.Error.InvalidArgs")
        os.close(write)
        assert os.read(read, 1) == b""
        os.close(read)


class TestNothingKept:
    """The bus keeps no descriptor longer than its message."""

    def test_refused(self, client: Client, name: str) -> None:
        """Without a recipient the descriptors are closed when the error is sent."""
        read, write = os.pipe()
        serial = client.start_call(name, "Take", "h", 0, fds=[write])
        os.close(write)
        assert client.expect_error(serial, "org.freedesktop.DBus.Error.ServiceUnknown")
        assert os.read(read, 1) == b""
        os.close(read)

    def test_no_listener(self, client: Client) -> None:
        read, write = os.pipe()
        client.signal("News", "h", 0, fds=[write])
        os.close(write)
        assert os.read(read, 1) == b""
        os.close(read)

    def test_delivered(self, client: Client, other: Client) -> None:
        read, write = os.pipe()
        client.start_call(other.unique, "Take", "h", 0, fds=[write])
        os.close(write)
        other.expect(member="Take")
        other.close_fds()
        assert os.read(read, 1) == b""
        os.close(read)

    def test_receiver_disconnects(self, client: Client, connect: Connect) -> None:
        """Descriptors queued for a receiver are closed when it disconnects."""
        stuck = connect()
        read, write = os.pipe()
        for _ in range(10):
            client.start_call(stuck.unique, "Take", "ay", bytes(1 << 17), flags=1)
        client.start_call(stuck.unique, "Take", "h", 0, fds=[write], flags=1)
        os.close(write)
        client.sync()
        stuck.close()
        assert os.read(read, 1) == b""
        os.close(read)

    def test_count_is_the_same_afterwards(self, bus: Daemon, client: Client, other: Client) -> None:
        before = bus.open_files()
        for _ in range(50):
            ends = os.pipe()
            client.start_call(other.unique, "Take", "hh", 0, 1, fds=ends)
            other.reply(other.expect(member="Take"), "h", 0, fds=ends[:1])
            client.take(type=Type.METHOD_RETURN)
            for end in ends:
                os.close(end)
        client.sync()
        other.sync()
        assert bus.open_files() == before


class TestNumberOfDescriptors:
    @pytest.mark.parametrize("count", [16, 17])
    def test_limit(self, client: Client, other: Client, count: int, pipe: tuple[int, int]) -> None:
        """max_message_unix_fds: 16 by default; a client that sends more with a message is disconnected."""
        fields = [
            (Field.PATH, "o", "/a"),
            (Field.MEMBER, "s", "Take"),
            (Field.DESTINATION, "s", other.unique),
            (Field.SIGNATURE, "g", "ah"),
            (Field.UNIX_FDS, "u", count),
        ]
        client.send_bytes(frame(fields, marshal("ah", [list(range(count))]), serial=99), pipe[:1] * count)
        if count > 16:
            client.expect_closed()
            other.expect_nothing()
        else:
            assert len(other.expect(member="Take").fds) == count
