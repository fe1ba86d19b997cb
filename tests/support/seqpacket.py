"""A SOCK_SEQPACKET transport for dbus-fast: a socket that is read like a stream."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from dbus_fast.aio import MessageBus

from support.addresses import fields, socket_name

PACKET = 65536
MORE_THAN_ANY = 1 << 20
CONTROL = socket.CMSG_SPACE(253 * 4)

Ancillary = list[tuple[int, int, bytes]]


class PacketSocket(socket.socket):
    """The remainder of a packet is kept for the next read; a long message is sent in several packets."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._left = bytearray()

    def recvmsg(self, size: int, control: int = 0, flags: int = 0) -> tuple[bytes, Ancillary, int, Any]:  # type: ignore[override]
        ancillary: Ancillary = []
        if not self._left:
            data, ancillary, _, _ = super().recvmsg(MORE_THAN_ANY, CONTROL, flags)
            self._left += data
        data = bytes(self._left[:size])
        del self._left[:size]
        return data, ancillary, 0, None

    def recv(self, size: int, flags: int = 0) -> bytes:
        return self.recvmsg(size, 0, flags)[0]

    def sendmsg(self, buffers: Iterable[Any], ancillary: Any = (), *rest: Any) -> int:  # type: ignore[override]
        return super().sendmsg([b"".join(buffers)[:PACKET]], ancillary, *rest)

    def send(self, data: Any, flags: int = 0) -> int:
        return super().send(data[:PACKET], flags)


class _Nothing:
    """dbus-fast needs a file object too, and reads from the socket."""

    def close(self) -> None:
        pass


class PacketBus(MessageBus):
    """dbus-fast's bus with descriptor passing, at an address of our own transport."""

    def __init__(self, address: str) -> None:
        super().__init__("unix:path=/replaced", negotiate_unix_fd=True)
        assert fields(address)[0] == "unix-seqpacket"
        self._name = socket_name(address)

    def _create_socket_for_transport(self, transport: str, options: dict[str, str]) -> Any:
        return PacketSocket(), _Nothing(), self._name
