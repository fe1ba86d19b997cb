"""Specification, "Authentication Protocol", over a real socket."""

from __future__ import annotations

import os
import time

import pytest

from support.daemon import Daemon, config
from support.message import Message, Type, frame
from support.raw import BUS, BUS_PATH, Client, Closed, Wire

from .conftest import StartDaemon

ME = str(os.geteuid()).encode().hex().encode()
ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
HELLO = Message(path=BUS_PATH, interface=BUS, member="Hello", destination=BUS, serial=1).encode()
GOOD = b"\0AUTH EXTERNAL " + ME + b"\r\n"


@pytest.fixture
def wire(bus: Daemon) -> Wire:
    """A connection on which nothing has been sent yet."""
    return wire_to(bus)


def wire_to(bus: Daemon, **options: int) -> Wire:
    wire = Wire(bus.address, **options)
    bus.clients.append(wire)  # type: ignore[arg-type]
    return wire


def say(wire: Wire, line: bytes) -> bytes:
    """Send one line and return the reply."""
    wire.send_bytes(line + b"\r\n")
    return wire.read_line()


def ping(serial: int) -> bytes:
    return Message(
        path=BUS_PATH, interface=f"{BUS}.Peer", member="Ping", destination=BUS, serial=serial
    ).encode()


def reply(wire: Wire) -> Message:
    return wire.read_message(time.monotonic() + wire.deadline)


class TestSpecialCredentialsByte:
    """Immediately after connecting the client must send a single nul byte."""

    @pytest.mark.parametrize("first", [b"A", b"\r", b"\xff"])
    def test_anything_else(self, wire: Wire, first: bytes) -> None:
        wire.send_bytes(first + b"AUTH EXTERNAL " + ME + b"\r\n")
        wire.expect_closed()

    def test_alone(self, wire: Wire) -> None:
        """The byte may arrive alone."""
        wire.send_bytes(b"\0")
        assert say(wire, b"AUTH EXTERNAL " + ME).startswith(b"OK ")


class TestAuthCommand:
    def test_mechanisms(self, wire: Wire) -> None:
        """AUTH without an argument is a request to list mechanisms: REJECTED and a space-separated list."""
        assert say(wire, b"\0AUTH") == b"REJECTED EXTERNAL"

    def test_all_mechanisms(self, start_daemon: StartDaemon) -> None:
        """Without <auth> all mechanisms are offered."""
        wire = wire_to(start_daemon(config("unix:path={dir}/bus", auth="")))
        answer = say(wire, b"\0AUTH").split()
        assert answer[0] == b"REJECTED"
        assert sorted(answer[1:]) == [b"ANONYMOUS", b"DBUS_COOKIE_SHA1", b"EXTERNAL"]

    def test_initial_response(self, wire: Wire, bus: Daemon) -> None:
        """OK has one argument: the GUID of the server, 32 hex digits."""
        assert say(wire, b"\0AUTH EXTERNAL " + ME) == b"OK " + bus.guid.encode()

    def test_data(self, wire: Wire) -> None:
        """Without an initial response the server sends an empty DATA; the client sends its identity."""
        assert say(wire, b"\0AUTH EXTERNAL") == b"DATA"
        assert say(wire, b"DATA " + ME).startswith(b"OK ")

    def test_empty_data(self, wire: Wire) -> None:
        """An empty identity stands for the peer's own."""
        assert say(wire, b"\0AUTH EXTERNAL") == b"DATA"
        assert say(wire, b"DATA").startswith(b"OK ")

    @pytest.mark.parametrize("identity", [b"1".hex(), b"4294967295".hex(), b"root".hex(), b"nobody".hex()])
    def test_another_identity(self, wire: Wire, identity: str) -> None:
        """The identity must be that of the process at the other end, in decimal."""
        assert say(wire, b"\0AUTH EXTERNAL " + identity.encode()) == b"REJECTED EXTERNAL"

    @pytest.mark.parametrize("response", [b"3g", b"zz", b"-", ME + b" ", ME + b" 30"])
    def test_no_hex(self, wire: Wire, response: bytes) -> None:
        """The initial response is hex-encoded."""
        assert say(wire, b"\0AUTH EXTERNAL " + response) == b'ERROR "Invalid hex encoding"'

    @pytest.mark.parametrize(
        "mechanism", [b"FOO", b"external", b"ANONYMOUS", b"DBUS_COOKIE_SHA1", b"EXTERNAL2"]
    )
    def test_unknown_mechanism(self, wire: Wire, mechanism: bytes) -> None:
        assert say(wire, b"\0AUTH " + mechanism) == b"REJECTED EXTERNAL"

    def test_second_try(self, wire: Wire) -> None:
        """After REJECTED the client may retry."""
        assert say(wire, b"\0AUTH FOO") == b"REJECTED EXTERNAL"
        assert say(wire, b"AUTH EXTERNAL 31") == b"REJECTED EXTERNAL"
        assert say(wire, b"AUTH EXTERNAL " + ME).startswith(b"OK ")

    def test_too_many_tries(self, wire: Wire) -> None:
        """After the sixth failure the server closes the connection."""
        wire.send_bytes(b"\0")
        for _ in range(6):
            assert say(wire, b"AUTH EXTERNAL 31") == b"REJECTED EXTERNAL"
        wire.expect_closed()

    def test_as_another_user(self, bus: Daemon, unprivileged: int) -> None:
        """The identity is the peer's uid according to the kernel."""
        identity = str(unprivileged).encode().hex().encode()
        assert say(wire_to(bus, uid=unprivileged), b"\0AUTH EXTERNAL " + identity).startswith(b"OK ")
        assert say(wire_to(bus, uid=unprivileged), b"\0AUTH EXTERNAL " + ME) == b"REJECTED EXTERNAL"

    def test_blanks(self, wire: Wire) -> None:
        """Blanks between command and arguments are ignored."""
        assert say(wire, b"\0AUTH   EXTERNAL   " + ME).startswith(b"OK ")


class TestStates:
    """ "Server states": the commands each state accepts, and the replies to the others."""

    @pytest.mark.parametrize(
        ("line", "answer"),
        [
            (b"FOO", b'ERROR "Unknown command"'),
            (b"auth", b'ERROR "Unknown command"'),
            (b"", b'ERROR "Unknown command"'),
            (b"DATA 30", b'ERROR "Not currently in an auth conversation"'),
            (b"NEGOTIATE_UNIX_FD", b'ERROR "Need to authenticate first"'),
            (b"CANCEL", b'ERROR "Not currently in an auth conversation"'),
            (b"ERROR", b"REJECTED EXTERNAL"),
            (b"OK 1234", b'ERROR "Unknown command"'),
            (b"AGREE_UNIX_FD", b'ERROR "Unknown command"'),
            (b"AUTH \xc3\xbc", b'ERROR "Command contained non-ASCII"'),
            (b"AUTH\0", b'ERROR "Command contained non-ASCII"'),
        ],
    )
    def test_waiting_for_auth(self, wire: Wire, line: bytes, answer: bytes) -> None:
        wire.send_bytes(b"\0")
        assert say(wire, line) == answer
        assert say(wire, b"AUTH EXTERNAL " + ME).startswith(b"OK ")

    @pytest.mark.parametrize(
        ("line", "answer"),
        [
            (b"FOO", b'ERROR "Unknown command"'),
            (b"AUTH EXTERNAL", b'ERROR "Sent AUTH while another AUTH in progress"'),
            (b"NEGOTIATE_UNIX_FD", b'ERROR "Need to authenticate first"'),
            (b"DATA 3g", b'ERROR "Invalid hex encoding"'),
        ],
    )
    def test_waiting_for_data(self, wire: Wire, line: bytes, answer: bytes) -> None:
        assert say(wire, b"\0AUTH EXTERNAL") == b"DATA"
        assert say(wire, line) == answer
        assert say(wire, b"DATA " + ME).startswith(b"OK ")

    @pytest.mark.parametrize("line", [b"CANCEL", b"ERROR", b"ERROR why"])
    def test_cancel(self, wire: Wire, line: bytes) -> None:
        """CANCEL and ERROR end the current exchange with REJECTED, and the client may start again."""
        assert say(wire, b"\0AUTH EXTERNAL") == b"DATA"
        assert say(wire, line) == b"REJECTED EXTERNAL"
        assert say(wire, b"AUTH EXTERNAL " + ME).startswith(b"OK ")

    @pytest.mark.parametrize(
        ("line", "answer"),
        [
            (b"FOO", b'ERROR "Unknown command"'),
            (b"AUTH EXTERNAL", b'ERROR "Sent AUTH while expecting BEGIN"'),
            (b"DATA 30", b'ERROR "Sent DATA while expecting BEGIN"'),
        ],
    )
    def test_waiting_for_begin(self, wire: Wire, line: bytes, answer: bytes) -> None:
        assert say(wire, GOOD[:-2]).startswith(b"OK ")
        assert say(wire, line) == answer
        wire.send_bytes(b"BEGIN\r\n" + HELLO)
        assert reply(wire).reply_serial == 1

    @pytest.mark.parametrize("line", [b"CANCEL", b"ERROR"])
    def test_cancel_before_begin(self, wire: Wire, line: bytes) -> None:
        """They are also accepted when only BEGIN is missing."""
        assert say(wire, GOOD[:-2]).startswith(b"OK ")
        assert say(wire, line) == b"REJECTED EXTERNAL"
        assert say(wire, b"AUTH EXTERNAL " + ME).startswith(b"OK ")

    @pytest.mark.parametrize(
        "said", [b"\0BEGIN\r\n", b"\0AUTH EXTERNAL\r\nBEGIN\r\n", b"\0AUTH FOO\r\nBEGIN\r\n"]
    )
    def test_begin_too_early(self, wire: Wire, said: bytes) -> None:
        """BEGIN before OK: the server must disconnect."""
        wire.send_bytes(said + HELLO)
        assert b"OK" not in everything(wire)


def everything(wire: Wire) -> bytes:
    """Read until the connection is closed."""
    try:
        while True:
            wire.fill(time.monotonic() + wire.deadline)
    except Closed:
        return bytes(wire.buffer)


class TestLines:
    @pytest.mark.parametrize("size", [20_000, 1_000_000])
    def test_line_too_long(self, wire: Wire, size: int) -> None:
        """The length of an unterminated line is limited."""
        try:
            wire.send_bytes(b"\0AUTH " + b"x" * size)
        except Closed:
            return
        assert everything(wire) == b""

    def test_pipelined(self, wire: Wire) -> None:
        """A client may send everything up to its first messages without waiting for replies."""
        wire.send_bytes(GOOD + b"NEGOTIATE_UNIX_FD\r\nBEGIN\r\n" + HELLO + ping(2))
        assert wire.read_line().startswith(b"OK ")
        assert wire.read_line() == b"AGREE_UNIX_FD"
        hello, acquired, pong = reply(wire), reply(wire), reply(wire)
        assert (hello.type, hello.reply_serial) == (Type.METHOD_RETURN, 1)
        assert (acquired.member, acquired.body) == ("NameAcquired", hello.body)
        assert (pong.type, pong.reply_serial) == (Type.METHOD_RETURN, 2)

    def test_pipelined_as_sd_bus_does(self, wire: Wire) -> None:
        """sd-bus sends AUTH without an initial response and an empty DATA in one write."""
        wire.send_bytes(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n" + HELLO)
        assert wire.read_line() == b"DATA"
        assert wire.read_line().startswith(b"OK ")
        assert wire.read_line() == b"AGREE_UNIX_FD"
        assert reply(wire).reply_serial == 1

    def test_byte_by_byte(self, wire: Wire) -> None:
        """Lines may be split anywhere, and so may the first message."""
        for byte in GOOD + b"BEGIN\r\n" + HELLO:
            wire.send_bytes(bytes([byte]))
        assert wire.read_line().startswith(b"OK ")
        assert reply(wire).reply_serial == 1

    @pytest.mark.parametrize("cut", [1, 6, len(GOOD) - 1, len(GOOD) + 6, len(GOOD) + 7, len(GOOD) + 8])
    def test_cut(self, wire: Wire, cut: int) -> None:
        """The stream may be cut anywhere, including after a line's CR or inside the first message."""
        data = GOOD + b"BEGIN\r\n" + HELLO
        wire.send_bytes(data[:cut])
        if cut >= len(GOOD):
            assert wire.read_line().startswith(b"OK ")
        wire.send_bytes(data[cut:])
        if cut < len(GOOD):
            assert wire.read_line().startswith(b"OK ")
        assert reply(wire).reply_serial == 1

    @pytest.mark.parametrize("junk", [b"\r\n", b"AUTH\r\n", b"x" * 16, b"l\0\0\0" + b"\0" * 12])
    def test_no_message_after_begin(self, wire: Wire, junk: bytes) -> None:
        """After BEGIN only messages are accepted."""
        wire.send_bytes(GOOD + b"BEGIN\r\n" + junk + b"\0" * 16)
        assert everything(wire).startswith(b"OK ")


class TestUnixFds:
    def test_negotiated(self, wire: Wire) -> None:
        """NEGOTIATE_UNIX_FD is answered with AGREE_UNIX_FD on a transport that supports it."""
        assert say(wire, GOOD[:-2]).startswith(b"OK ")
        assert say(wire, b"NEGOTIATE_UNIX_FD") == b"AGREE_UNIX_FD"
        assert say(wire, b"NEGOTIATE_UNIX_FD") == b"AGREE_UNIX_FD"

    def test_without_negotiation(self, bus: Daemon, pipe: tuple[int, int]) -> None:
        """A client that did not negotiate descriptors may not send any."""
        client = bus.connect(unix_fds=False)
        client.signal("News", "h", 0, fds=[pipe[0]])
        client.expect_closed()

    def early(self, bus: Daemon, before: bytes, with_fds: bytes, after: bytes, fd: int) -> Client:
        """Send three pieces, the second with a descriptor; return a listener to the signals in them."""
        listener = bus.connect()
        listener.match("type='signal',interface='org.example.Interface'")
        wire = wire_to(bus)
        if before:
            wire.send_bytes(before)
        wire.send_bytes(with_fds, [fd])
        wire.send_bytes(after + ping(9))
        assert (wire.read_line()[:3], wire.read_line()) == (b"OK ", b"AGREE_UNIX_FD")
        while reply(wire).reply_serial != 9:
            pass
        return listener

    def signals(self) -> tuple[bytes, bytes]:
        """Two signals, the second with a descriptor."""
        plain = Message(
            type=Type.SIGNAL, serial=2, path="/a", interface="org.example.Interface", member="Plain"
        ).encode()
        with_fd = Message(
            type=Type.SIGNAL,
            serial=3,
            path="/a",
            interface="org.example.Interface",
            member="WithFd",
            signature="h",
            body=(0,),
            unix_fds=1,
        ).encode()
        return plain, with_fd

    @pytest.mark.deviation("early-descriptors")
    def test_sent_with_the_end_of_authentication(self, bus: Daemon, pipe: tuple[int, int]) -> None:
        """A descriptor received together with BEGIN belongs to the message that claims it."""
        plain, with_fd = self.signals()
        said = GOOD + b"NEGOTIATE_UNIX_FD\r\nBEGIN\r\n" + HELLO + plain + with_fd
        listener = self.early(bus, b"", said, b"", pipe[0])
        listener.expect(member="Plain", fds=[])
        (received,) = listener.expect(member="WithFd").fds
        os.write(pipe[1], b"x")
        assert os.read(received, 1) == b"x"

    @pytest.mark.deviation("early-descriptors")
    def test_sent_in_pieces(self, bus: Daemon, pipe: tuple[int, int]) -> None:
        """The same wherever the stream is cut."""
        plain, with_fd = self.signals()
        before = GOOD + b"NEGOTIATE_UNIX_FD\r\n"
        listener = self.early(bus, before, b"BEGIN\r\n" + HELLO + plain + with_fd[:20], with_fd[20:], pipe[0])
        listener.expect(member="Plain", fds=[])
        (received,) = listener.expect(member="WithFd").fds
        os.write(pipe[1], b"x")
        assert os.read(received, 1) == b"x"


class TestAfterwards:
    def test_hello_first(self, bus: Daemon) -> None:
        """Before Hello other calls of the bus get an error; messages to other peers disconnect the sender."""
        client = bus.connect(hello=False)
        text = client.expect_error(
            client.start_call(BUS, "ListNames", interface=BUS, path=BUS_PATH), ACCESS_DENIED
        )
        assert text == "Client tried to send a message other than Hello without being registered"
        assert client.hello()

    def test_peer_before_hello(self, bus: Daemon) -> None:
        client = bus.connect(hello=False)
        text = client.expect_error(client.start_call(BUS, "Ping", interface=f"{BUS}.Peer"), ACCESS_DENIED)
        assert text == "Client tried to send a message other than Hello without being registered"

    def test_message_to_others_before_hello(self, bus: Daemon, client: Client) -> None:
        stranger = bus.connect(hello=False)
        stranger.start_call(client.unique, "Hail")
        stranger.expect_closed()
        client.expect_nothing()

    def test_signal_before_hello(self, bus: Daemon, client: Client) -> None:
        client.match("interface='org.example.Interface'")
        stranger = bus.connect(hello=False)
        stranger.signal("News")
        stranger.expect_closed()
        client.expect_nothing()

    def test_hello_to_another_path(self, bus: Daemon) -> None:
        """Hello is accepted on any path."""
        client = bus.connect(hello=False)
        assert client.driver("Hello", path="/anything").startswith(":")

    def test_hello_without_interface(self, bus: Daemon) -> None:
        """Like any method, Hello may be called without its interface."""
        client = bus.connect(hello=False)
        assert client.driver("Hello", interface=None).startswith(":")

    def test_hello_of_another_interface(self, bus: Daemon) -> None:
        client = bus.connect(hello=False)
        serial = client.start_call(BUS, "Hello", path=BUS_PATH)
        assert client.expect_error(serial, ACCESS_DENIED).startswith(
            "Client tried to send a message other than Hello"
        )

    def test_malformed_before_hello(self, bus: Daemon) -> None:
        client = bus.connect(hello=False)
        client.send_bytes(frame([], serial=1))
        client.expect_closed()

    def test_many_without_hello(self, bus: Daemon) -> None:
        """Silent connections do not affect other clients, and their disconnects are noticed."""
        silent = [wire_to(bus) for _ in range(20)]
        for wire in silent[::2]:
            wire.send_bytes(b"\0AUTH")
        assert bus.connect().driver("GetId")
        for wire in silent:
            wire.close()
        assert bus.connect().driver("GetId")
