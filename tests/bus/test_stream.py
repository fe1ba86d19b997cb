"""Specification, "Message Protocol": messages of any size, split anywhere."""

from __future__ import annotations

import socket

import pytest

from support.message import BIG, LITTLE, Type
from support.raw import BUS, BUS_PATH, Client

from .conftest import ORDERS, Connect

INTERFACE = "org.example.Interface"


class TestStream:
    """Messages may be split anywhere."""

    @ORDERS
    def test_byte_by_byte(self, connect: Connect, listener: Client, order: str) -> None:
        client = connect(order=order)
        message = client.message(Type.SIGNAL, "su", "x", 5, path="/a", interface=INTERFACE, member="News")
        for byte in message.encode():
            client.send_bytes(bytes([byte]))
        listener.expect(member="News", body=("x", 5), sender=client.unique)

    def test_every_cut(self, client: Client, listener: Client) -> None:
        """Two messages in two writes, with every possible cut."""
        data = b"".join(self.signals(client, 2))
        for cut in range(1, len(data)):
            client.send_bytes(data[:cut])
            client.send_bytes(data[cut:])
        for _ in range(1, len(data)):
            listener.expect(member="News", body=(0,))
            listener.expect(member="News", body=(1,))

    def signals(self, client: Client, count: int) -> list[bytes]:
        return [
            client.message(Type.SIGNAL, "u", number, path="/a", interface=INTERFACE, member="News").encode()
            for number in range(count)
        ]

    def test_many_in_one_write(self, client: Client, listener: Client) -> None:
        client.send_bytes(b"".join(self.signals(client, 1000)))
        for number in range(1000):
            listener.expect(member="News", body=(number,))

    def test_mixed_orders_in_one_write(self, client: Client, listener: Client) -> None:
        """Each message has its own byte order."""
        data = b""
        for number in range(20):
            order = BIG if number % 2 else LITTLE
            data += client.message(
                Type.SIGNAL, "u", number, path="/a", interface=INTERFACE, member="News", order=order
            ).encode()
        client.send_bytes(data)
        for number in range(20):
            listener.expect(member="News", body=(number,))

    def test_end_after_the_last_byte(self, connect: Connect, listener: Client) -> None:
        """A complete message is relayed, although its sender has disconnected."""
        client = connect()
        client.send_bytes(b"".join(self.signals(client, 50)))
        client.socket.close()
        for number in range(50):
            listener.expect(member="News", body=(number,))

    def test_half_closed(self, client: Client, other: Client) -> None:
        """A client that has shut down its sending side is disconnected."""
        client.socket.shutdown(socket.SHUT_WR)
        client.expect_closed()
        assert other.driver("NameHasOwner", "s", client.unique) is False


class TestSize:
    @pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65_535, 65_536, 1 << 20, 5 << 20])
    def test_large(self, client: Client, other: Client, size: int) -> None:
        """A body of any size up to the limit arrives complete."""
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        serial = client.start_call(other.unique, "Hail", "ay", data)
        call = other.expect(member="Hail")
        assert call.body == (data,)
        other.reply(call, "ay", data)
        assert client.reply_to(serial).body == (data,)

    def test_large_header(self, client: Client, listener: Client) -> None:
        """A long header is accepted, too."""
        path = "/x" * 30_000
        client.signal("News", "s", "x" * 1000, path=path)
        listener.expect(member="News", path=path)

    def test_large_broadcast(self, client: Client, listener: Client, connect: Connect) -> None:
        second = connect()
        second.match(f"type='signal',interface='{INTERFACE}'")
        data = b"ab" * (1 << 19)
        client.signal("News", "ay", data)
        assert listener.expect(member="News").body == second.expect(member="News").body == (data,)

    def test_large_to_the_bus(self, client: Client) -> None:
        """A name may not be that long."""
        serial = client.start_call(
            BUS, "GetNameOwner", "s", "a." + "b" * (1 << 20), interface=BUS, path=BUS_PATH
        )
        assert client.expect_error(serial, "org.freedesktop.DBus.Error.NameHasNoOwner")

    def test_depth(self, client: Client, other: Client) -> None:
        """32 arrays and 32 structs."""
        signature = "a" * 32 + "(" * 32 + "y" + ")" * 32
        client.start_call(other.unique, "Hail", signature, [])
        other.expect(member="Hail", signature=signature)
