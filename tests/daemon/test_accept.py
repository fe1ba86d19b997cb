"""Admission of connections: limits, waiting connections and time-outs (dbus-daemon(1), <limit>)."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from omnibus.auth.mechanism import Accepted, Mechanisms
from omnibus.auth.mechanisms import choose
from omnibus.daemon import accept as module
from omnibus.daemon.accept import Acceptor
from omnibus.daemon.doors import open_doors
from omnibus.policy.rules import ANY_ID, Kind, Rule
from omnibus.policy.settings import Limits
from omnibus.transport.listener import Listener
from omnibus.transport.relay import EventKind
from support.loop import guarded
from support.plane import FakeEvent

from .conftest import Desk

ME = os.geteuid()
DEADLINE = 20
ALL_USERS_MAY_CONNECT = [Rule(Kind.CONNECT_USER, allow=True, principal=ANY_ID)]
NO_USER_MAY_CONNECT = [Rule(Kind.CONNECT_USER, allow=False, principal=ANY_ID)]
BEGIN = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"


class ServerHarness:
    """A server on a socket that hands up all connections, and its clients."""

    def __init__(self, desk: Desk, mechanisms: Mechanisms | None = None) -> None:
        self.desk = desk
        self.attached: list[tuple[Any, ...]] = []
        self.told: list[tuple[Any, ...]] = []
        self.began: list[float] = []
        for command in (self.listen, self.stop_listening, self.settled, self.attach):
            setattr(desk.plane, command.__name__, command)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind("")
        self.listening.listen()
        self.listening.setblocking(False)
        self.loop = asyncio.get_running_loop()
        self.listener = Listener([self.listening], [])
        self.server = Acceptor(
            guarded(self.loop, desk.plane.commit, desk.log),
            desk.bus,
            desk.plane,
            [self.listener],
            mechanisms or choose((), {}),
        )  # type: ignore[arg-type]
        open_doors(desk.plane, [self.listener], mechanisms or choose((), {}))  # type: ignore[arg-type]
        self.clients: list[socket.socket] = []

    def listen(self, fd: int, number: int, guid: str, *, simple: bool, only_external: bool) -> None:
        assert (fd, guid) == (self.listening.fileno(), self.listener.guid)
        self.told.append(("listen", number, simple))
        self.loop.add_reader(fd, lambda: self.hand_up(self.listening.accept()[0]))

    def stop_listening(self) -> None:
        self.loop.remove_reader(self.listening.fileno())

    def settled(self) -> None:
        self.desk.plane.silent -= 1

    def hand_up(self, connection: socket.socket, **said: Any) -> None:
        """Do as the data plane does with a connection that leaves the usual authentication sequence."""
        self.desk.plane.silent += 1
        event = FakeEvent(EventKind.HANDED_UP, fd=connection.detach(), began=self.loop.time(), serial=0)
        self.desk.happen(replace(event, **said))

    def attach(self, peer: int, fd: int, *rest: Any, listener: int, began: float) -> None:
        assert listener == self.listening.fileno()
        assert self.loop.time() - DEADLINE < began <= self.loop.time()
        self.attached.append((peer, *rest))
        os.close(fd)

    def connect(self, text: bytes = b"") -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.listening.getsockname())
        client.sendall(text)
        client.setblocking(False)
        self.clients.append(client)
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110  # the condition is anything
                await asyncio.sleep(0.001)

    async def closed(self, client: socket.socket) -> bytes:
        """Wait for the end of file; return the data before it."""
        loop = asyncio.get_running_loop()
        data = b""
        async with asyncio.timeout(DEADLINE):
            try:
                while part := await loop.sock_recv(client, 4096):
                    data += part
            except ConnectionResetError:
                pass  # it was disconnected with unread data
        return data

    async def settle(self) -> None:
        """Let the loop process all ready events."""
        for _ in range(20):
            await asyncio.sleep(0)

    def close(self) -> None:
        self.server.stop()
        self.listening.close()
        for client in self.clients:
            client.close()


Open = Callable[..., ServerHarness]


@pytest.fixture
async def server() -> AsyncIterator[Open]:
    doors: list[ServerHarness] = []

    def begin(*, mechanisms: Mechanisms | None = None, **settings: Any) -> ServerHarness:
        settings.setdefault("rules", ALL_USERS_MAY_CONNECT)
        doors.append(ServerHarness(Desk(**settings), mechanisms))
        return doors[-1]

    yield begin
    for one in doors:
        one.close()


class TestAdmission:
    async def test_attached(self, server: Open) -> None:
        """The connection is attached with its credentials and the data received after BEGIN."""
        bus = server()
        bus.connect(BEGIN + b"l\1\0\1")
        await bus.until(lambda: bool(bus.attached))
        ((peer, credentials, leftover, fds),) = bus.attached
        assert (peer, leftover, list(fds)) == (0, b"l\1\0\1", [])
        assert (credentials.uid, credentials.pid) == (ME, os.getpid())
        assert credentials.gids[0] == os.getegid()
        assert credentials.privileged
        assert not credentials.fd_passing
        assert bus.desk.bus.peers[0].credentials.uid == ME

    async def test_policy_refuses(self, server: Open) -> None:
        """It is closed after authentication, without an error message."""
        bus = server(rules=NO_USER_MAY_CONNECT)
        assert (await bus.closed(bus.connect(BEGIN))).endswith(b"\r\n")
        assert bus.attached == []

    async def test_own_user_by_default(self, server: Open) -> None:
        bus = server(rules=[])
        bus.connect(BEGIN)
        await bus.until(lambda: bool(bus.attached))

    @pytest.mark.parametrize("allowed", [True, False])
    async def test_anonymous(self, server: Open, allowed: bool) -> None:
        bus = server(allow_anonymous=allowed)
        client = bus.connect(b"\0AUTH ANONYMOUS\r\nBEGIN\r\n")
        if not allowed:
            await bus.closed(client)
            return
        await bus.until(lambda: bool(bus.attached))
        assert bus.attached[0][1].uid is None

    async def test_protocol_error(self, server: Open) -> None:
        bus = server()
        await bus.closed(bus.connect(b"GET / HTTP/1.0\r\n"))


class TestGroups:
    @pytest.fixture
    def other_user(self) -> Mechanisms:
        class OtherUser:
            def respond(self, response: bytes) -> Accepted:
                return Accepted(ME + 1)

        return {"EXTERNAL": lambda uid: OtherUser()}

    async def test_looked_up_in_a_thread(
        self, server: Open, other_user: Mechanisms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The bus keeps working while the user database is slow."""
        go_on = threading.Event()

        def look_up(uid: int) -> tuple[int, ...]:
            assert go_on.wait(DEADLINE)
            return (uid, 77)

        monkeypatch.setattr(module, "look_up_groups", look_up)
        bus = server(mechanisms=other_user)
        bus.connect(b"\0AUTH EXTERNAL\r\nBEGIN\r\n")
        other = bus.connect(b"\0AUTH NO\r\n")
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.sock_recv(other, 100), DEADLINE) == b"REJECTED EXTERNAL\r\n"
        assert bus.attached == []
        go_on.set()
        await bus.until(lambda: bool(bus.attached))
        assert bus.attached[0][1].gids == (ME + 1, 77)

    async def test_too_late(
        self, server: Open, other_user: Mechanisms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """auth_timeout includes the lookup; its later result is dropped."""
        go_on, over = threading.Event(), threading.Event()

        def look_up(uid: int) -> tuple[int, ...]:
            assert go_on.wait(DEADLINE)
            over.set()
            return ()

        monkeypatch.setattr(module, "look_up_groups", look_up)
        bus = server(mechanisms=other_user, limits=Limits(auth_timeout=20))
        await bus.closed(bus.connect(b"\0AUTH EXTERNAL\r\nBEGIN\r\n"))
        go_on.set()
        await bus.until(over.is_set)
        await bus.settle()
        assert bus.attached == []
        assert len(bus.desk.bus.peers) == 0


class TestTakingOver:
    """The data plane has already read, and answered, a part of the input."""

    def ends(self) -> tuple[socket.socket, socket.socket]:
        ours, client = socket.socketpair(socket.AF_UNIX)
        client.setblocking(False)
        return ours, client

    async def test_replies_are_not_repeated(self, server: Open) -> None:
        bus = server()
        ours, client = self.ends()
        said = len(f"OK {bus.listener.guid}\r\n")
        body = b"\0AUTH EXTERNAL " + str(ME).encode().hex().encode() + b"\r\nNEGOTIATE_UNIX_FD\r\n"
        bus.hand_up(ours, body=body, parked=said)
        assert client.recv(100) == b"AGREE_UNIX_FD\r\n"
        client.sendall(b"BEGIN\r\nl")
        await bus.until(lambda: bool(bus.attached))
        assert bus.attached[0][2] == b"l"
        client.close()

    @pytest.mark.parametrize("said", [5, 0])
    async def test_partial_reply(self, server: Open, said: int) -> None:
        bus = server()
        ours, client = self.ends()
        bus.hand_up(ours, body=b"\0NONSENSE\r\n", parked=said)
        assert client.recv(100) == b'ERROR "Unknown command"\r\n'[said:]
        client.close()

    async def test_descriptors(self, server: Open) -> None:
        """They stay with the message they came with."""
        bus = server()
        ours, client = self.ends()
        null = os.open(os.devnull, os.O_RDONLY)
        body = b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\nl\1\0\1"
        bus.hand_up(ours, body=body, parked=6, fds=[null])
        ((_, _, leftover, fds),) = bus.attached
        assert (leftover, list(fds)) == (b"l\1\0\1", [null])
        os.close(null)
        client.close()

    async def test_too_many_descriptors_are_closed(self, server: Open) -> None:
        bus = server()
        ours, client = self.ends()
        null = os.open(os.devnull, os.O_RDONLY)
        bus.hand_up(ours, body=b"x", fds=[null])
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(null)
        assert await bus.closed(client) == b""
        assert bus.desk.plane.silent == 0
        client.close()


class TestListening:
    def simple(self, *sockets: socket.socket, mechanisms: Mechanisms) -> list[tuple[bool, bool]]:
        """Return for each listener whether the data plane may authenticate, and whether only by EXTERNAL."""
        listeners = [Listener([one], []) for one in sockets]
        told: list[tuple[bool, bool]] = []
        plane: Any = Desk().plane
        plane.listen = lambda fd, number, guid, *, simple, only_external: told.append((simple, only_external))
        open_doors(plane, listeners, mechanisms)
        return told

    async def test_simple(self) -> None:
        """The data plane authenticates where EXTERNAL is usual: on Unix stream sockets."""
        with (
            socket.socket(socket.AF_UNIX) as stream,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets,
            socket.socket(socket.AF_INET) as tcp,
        ):
            every = choose((), {})
            found = self.simple(stream, packets, tcp, mechanisms=every)
            assert found == [(True, False), (False, False), (False, False)]
            assert self.simple(stream, mechanisms=choose(("ANONYMOUS",), {})) == [(False, False)]
            assert self.simple(stream, mechanisms=choose(("EXTERNAL",), {})) == [(True, True)]


class TestAuthTimeout:
    TEXT = "Connection has not authenticated soon enough, closing it (auth_timeout=20ms, elapsed: 20ms)"

    async def test_before_begin(self, server: Open) -> None:
        bus = server(limits=Limits(auth_timeout=20))
        await bus.closed(bus.connect(b"\0AUTH EXTERNAL\r\n"))
        assert bus.desk.log.lines == [self.TEXT]
        assert bus.desk.plane.silent == 0

    async def test_not_after_attaching(self, server: Open) -> None:
        """From then on the data plane enforces the timeout."""
        bus = server(limits=Limits(auth_timeout=20))
        bus.connect(BEGIN)
        await bus.until(lambda: bool(bus.attached))
        assert bus.desk.plane.silent == 0
        await bus.closed(bus.connect())  # which would time out after the first one
        assert bus.desk.log.lines == [self.TEXT]


class TestStop:
    async def test_all_are_closed(self, server: Open) -> None:
        bus = server()
        client = bus.connect(b"\0AUTH EXTERNAL\r\n")
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.sock_recv(client, 100), DEADLINE)
        bus.server.stop()
        assert await bus.closed(client) == b""
