"""Authentication on a real socket: split input, descriptors, a client that doesn't read."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from omnibus.auth.mechanism import Accepted
from omnibus.auth.server import Authenticated, Server
from omnibus.daemon.handshake import Handshake, Refused

GUID = "0123456789abcdef0123456789abcdef"


class AcceptAll:
    """A mechanism that accepts every client as anonymous."""

    def respond(self, response: bytes) -> Accepted:
        return Accepted(7)


class Ends:
    """Both ends of a connection."""

    def __init__(self, kind: int = socket.SOCK_STREAM) -> None:
        ours, self.client = socket.socketpair(socket.AF_UNIX, kind)
        ours.setblocking(False)
        self.client.settimeout(5)
        machine = Server(GUID, {"EXTERNAL": lambda uid: AcceptAll()}, None)
        self.handshake = Handshake(ours, machine, max_fds=3)

    def say(self, text: bytes, fds: int = 0) -> Authenticated | None:
        """Let the client send with the given number of descriptors, and the handshake read."""
        null = os.open(os.devnull, os.O_RDONLY)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * fds))] if fds else []
        self.client.sendmsg([text], rights)
        os.close(null)
        return self.handshake.receive()

    def close(self) -> None:
        self.handshake.close()
        self.client.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    with closing(Ends()) as ends:
        yield ends


class TestPackets:
    @pytest.fixture
    def packets(self) -> Iterator[Ends]:
        with closing(Ends(socket.SOCK_SEQPACKET)) as ends:
            yield ends

    def test_a_line_each(self, packets: Ends) -> None:
        assert packets.say(b"\0") is None
        assert packets.say(b"AUTH EXTERNAL\r\n") is None
        assert packets.client.recv(100) == f"OK {GUID}\r\n".encode()
        outcome = packets.say(b"BEGIN\r\n")
        assert outcome is not None
        assert outcome.leftover == b""

    def test_long(self, packets: Ends) -> None:
        """Data after BEGIN in the same packet is not truncated."""
        message = b"x" * 65536
        outcome = packets.say(b"\0AUTH EXTERNAL\r\nBEGIN\r\n" + message)
        assert outcome is not None
        assert outcome.leftover == message

    def test_too_long(self, packets: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packets.handshake, "_read_size", 10)
        with pytest.raises(Refused, match="the packet is too long"):
            packets.say(b"\0AUTH EXTERNAL\r\n")

    def test_empty(self, packets: Ends) -> None:
        """It can't be distinguished from the end of file."""
        with pytest.raises(Refused, match="closed by the client"):
            packets.say(b"")


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_conversation(ends: Ends) -> None:
    assert ends.say(b"\0AUTH EXT") is None
    assert ends.say(b"ERNAL\r\n") is None
    assert ends.client.recv(100) == f"OK {GUID}\r\n".encode()
    outcome = ends.say(b"BEGIN\r\nl\1\0\1")
    assert outcome == Authenticated(7, False, b"l\1\0\1")


def test_nothing_to_read(ends: Ends) -> None:
    assert ends.handshake.receive() is None


def test_pipelined(ends: Ends) -> None:
    outcome = ends.say(b"\0AUTH EXTERNAL\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\nl\1")
    assert outcome is not None
    assert (outcome.leftover, outcome.fd_passing) == (b"l\1", True)
    assert ends.client.recv(100) == f"OK {GUID}\r\nAGREE_UNIX_FD\r\n".encode()


def test_closed_by_the_client(ends: Ends) -> None:
    ends.client.close()
    with pytest.raises(Refused, match="closed by the client"):
        ends.handshake.receive()


def test_rejected(ends: Ends) -> None:
    """Pending replies are sent before the connection closes."""
    with pytest.raises(Refused, match="BEGIN before"):
        ends.say(b"\0AUTH NO\r\nBEGIN\r\n")
    assert ends.client.recv(100) == b"REJECTED EXTERNAL\r\n"


class TestDescriptors:
    def test_of_the_last_read(self, ends: Ends) -> None:
        """Descriptors belong to messages that begin in the same read; SASL lines have none."""
        ends.say(b"\0AUTH EXTERNAL\r\nNEGOTIATE_UNIX_FD\r\n", fds=1)
        outcome = ends.say(b"BEGIN\r\nl\1", fds=2)
        assert outcome is not None
        fds = ends.handshake.take_fds()
        assert len(fds) == 2
        assert not any(os.get_inheritable(fd) for fd in fds)
        for fd in fds:
            os.close(fd)

    def test_not_negotiated(self, ends: Ends) -> None:
        """A client that did not negotiate descriptors has none, as in the reference."""
        before = open_fds()
        ends.say(b"\0AUTH EXTERNAL\r\n")
        assert ends.say(b"BEGIN\r\nl\1", fds=2) is not None
        assert list(ends.handshake.take_fds()) == []
        assert open_fds() == before

    def test_lines_keep_none(self, ends: Ends) -> None:
        """A client can't accumulate descriptors during its handshake."""
        before = open_fds()
        for _ in range(50):
            ends.say(b"\0", fds=3) if open_fds() == before else pytest.fail("descriptors were kept")

    def test_too_many(self, ends: Ends) -> None:
        with pytest.raises(Refused, match="too many descriptors"):
            ends.say(b"\0", fds=4)

    def test_none_is_left_open(self) -> None:
        before = open_fds()
        with closing(Ends()) as ends:
            ends.say(b"\0AUTH", fds=3)
        assert open_fds() == before


class TestClientThatDoesNotRead:
    def test_waits(self, ends: Ends) -> None:
        """The outcome is final once all replies are sent, and no input is read before."""
        stuffing = b"x" * 4096
        try:
            while True:
                ends.handshake.sock.send(stuffing, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        assert ends.say(b"\0AUTH EXTERNAL\r\nBEGIN\r\n") is None
        assert ends.handshake.wants_to_send
        assert ends.handshake.send() is None
        received = b""
        outcome = None
        while outcome is None:
            received = ends.client.recv(1 << 20)[-100:]
            outcome = ends.handshake.send()
        assert outcome.uid == 7
        assert not ends.handshake.wants_to_send
        while not received.endswith(b"\r\n"):
            received += ends.client.recv(1 << 20)
        assert received.endswith(f"xOK {GUID}\r\n".encode())
