"""Bugs of other buses with queued messages and events (docs/contributing/bug-classes.md)."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator

from support.daemon import Daemon
from support.message import Flag, Type
from support.raw import BUS, BUS_PATH, Client

from .conftest import StartDaemon


class TestWaitingMemory:
    """A queued message takes at most twice the memory that is charged for it."""

    CYCLES = 1500
    SIZE = 2200

    def stuck(self, sender: Client, receiver: Client) -> None:
        """Fill the socket of a receiver that never reads."""
        receiver.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        for _ in range(400):
            sender.signal("News", "ay", bytes(2000), destination=receiver.unique)
        sender.driver("GetId")

    def signal_bytes(self, client: Client, size: int, destination: str | None) -> bytes:
        return client.message(
            Type.SIGNAL,
            "ay",
            bytes(size),
            path="/a",
            interface="a.b",
            member="News",
            destination=destination,
            flags=Flag.NO_REPLY_EXPECTED,
        ).encode()

    def test_small_message_of_a_long_buffer(self, start_daemon: StartDaemon) -> None:
        """The input of a stopped sender is one buffer, of which one message has to be queued."""
        daemon = start_daemon()
        client, receiver = daemon.connect(), daemon.connect()
        self.stuck(client, receiver)
        one = self.signal_bytes(client, self.SIZE, receiver.unique)
        filler = self.signal_bytes(client, 2600, None) * 50
        client.driver("ListQueuedOwners", "s", BUS)  # the control plane has imported its modules by then
        before = daemon.memory()
        for _ in range(self.CYCLES):
            up = client.message(
                Type.METHOD_CALL,
                "s",
                BUS,
                path=BUS_PATH,
                interface=BUS,
                member="ListQueuedOwners",
                destination=BUS,
            )
            client.send_bytes(up.encode() + one + filler)
            client.reply_to(up.serial)
        assert daemon.memory() - before <= 2 * self.CYCLES * self.SIZE


class TestPendingEvents:
    """However many events one client causes, other clients wait for a bounded part of them only."""

    CONNECTIONS = 4

    @contextlib.contextmanager
    def flood(self, daemon: Daemon, uid: int) -> Iterator[None]:
        """Send signals to names without an owner as fast as the bus reads; discard the replies."""
        ended = threading.Event()
        clients = [daemon.connect(uid=uid) for _ in range(self.CONNECTIONS)]

        def send(client: Client) -> None:
            number = 0
            client.socket.setblocking(False)
            while not ended.is_set():
                chunk = b"".join(
                    client.message(
                        Type.SIGNAL, path="/a", interface="a.b", member="C", destination=f"a.b{number + i}"
                    ).encode()
                    for i in range(50)
                )
                number += 50
                while chunk and not ended.is_set():
                    select.select([], [client.socket], [], 0.1)
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        chunk = chunk[client.socket.send(chunk) :]
                        client.socket.recv(1 << 20)

        threads = [threading.Thread(target=send, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def test_others_are_answered(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """A call that the control plane answers is not delayed by all events before it."""
        daemon = start_daemon()
        client = daemon.connect()
        with self.flood(daemon, unprivileged):
            times = []
            for _ in range(100):
                begin = time.monotonic()
                client.driver("ListQueuedOwners", "s", BUS)
                times.append(time.monotonic() - begin)
            # some milliseconds on an idle machine
            assert sorted(times)[50] < 0.2

    def test_memory(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        daemon = start_daemon()
        client = daemon.connect()
        client.driver("ListQueuedOwners", "s", BUS)  # the control plane has imported its modules by then
        before = daemon.memory()
        with self.flood(daemon, unprivileged):
            for _ in range(100):
                client.driver("ListQueuedOwners", "s", BUS)
            assert daemon.memory() - before < 16_000_000

    def test_end(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """SIGTERM ends the bus at once, even with queued events."""
        daemon = start_daemon()
        with self.flood(daemon, unprivileged):
            daemon.connect().driver("ListQueuedOwners", "s", BUS)
            begin = time.monotonic()
            daemon.terminate()
            assert time.monotonic() - begin < 3
