"""Bugs that other buses have had, each a class: in what waits (docs/bug-classes.md has all of them)."""

from __future__ import annotations

import socket

from support.message import Flag, Type
from support.raw import BUS, BUS_PATH, Client

from .conftest import StartDaemon


class TestWaitingMemory:
    """A message that waits takes at most twice the memory that is charged for it."""

    CYCLES = 1500
    SIZE = 2200

    def stuck(self, sender: Client, receiver: Client) -> None:
        """Fill the receiver's socket; it never reads."""
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
        """What a stopped sender had sent stands in one buffer, of which one message has to wait."""
        daemon = start_daemon()
        client, receiver = daemon.connect(), daemon.connect()
        self.stuck(client, receiver)
        one = self.signal_bytes(client, self.SIZE, receiver.unique)
        filler = self.signal_bytes(client, 2600, None) * 50
        before = daemon.memory()
        for _ in range(self.CYCLES):
            up = client.message(
                Type.METHOD_CALL,
                "s",
                BUS,
                path=BUS_PATH,
                interface=BUS,
                member="GetConnectionUnixUser",
                destination=BUS,
            )
            client.send_bytes(up.encode() + one + filler)
            client.reply_to(up.serial)
        assert daemon.memory() - before <= 2 * self.CYCLES * self.SIZE
