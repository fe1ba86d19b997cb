"""A controller for a bare dbus-broker: it hands over the listening socket and a policy that allows all.

dbus-broker's own launcher needs a running systemd; this needs nothing.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence

BATCH = "bta(btbs)a(btssssuutt)a(btssssuutt)"
POLICY_SIGNATURE = f"(a(u({BATCH}))a(buu({BATCH}))a(ss)bs)"
METHOD_RETURN = 2
TIMEOUT = 5.0  # seconds that the broker may take to answer


class Marshal:
    """As much of the wire format as AddListener needs."""

    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, to: int) -> None:
        self.data += bytes(-len(self.data) % to)

    def byte(self, value: int) -> None:
        self.data.append(value)

    def uint32(self, value: int) -> None:
        self.align(4)
        self.data += struct.pack("<I", value)

    def uint64(self, value: int) -> None:
        self.align(8)
        self.data += struct.pack("<Q", value)

    def boolean(self, value: bool) -> None:
        self.uint32(int(value))

    def string(self, text: str) -> None:
        data = text.encode()
        self.uint32(len(data))
        self.data += data + b"\0"

    def signature(self, text: str) -> None:
        self.byte(len(text))
        self.data += text.encode() + b"\0"

    def array(self, alignment: int, items: Sequence[Callable[[], None]]) -> None:
        self.uint32(0)
        at = len(self.data) - 4
        self.align(alignment)
        start = len(self.data)
        for item in items:
            self.align(alignment)
            item()
        struct.pack_into("<I", self.data, at, len(self.data) - start)


def put_policy(m: Marshal) -> None:
    """The variant that the broker takes as a policy: everybody may do everything."""

    def own() -> None:
        m.boolean(True)
        m.uint64(1)
        m.boolean(True)
        m.string("")

    def transmit() -> None:
        m.boolean(True)
        m.uint64(1)
        for _ in range(4):
            m.string("")
        m.uint32(0)
        m.uint32(0)
        m.uint64(0)
        m.uint64(2**64 - 1)

    def everyone() -> None:
        m.uint32(0xFFFFFFFF)
        m.align(8)
        m.boolean(True)
        m.uint64(1)
        for rule in (own, transmit, transmit):
            m.array(8, [rule])

    m.signature(POLICY_SIGNATURE)
    m.align(8)
    m.array(8, [everyone])
    m.array(8, [])
    m.array(8, [])
    m.boolean(False)
    m.string("session")


def add_listener_call() -> bytes:
    """The message that hands over a listener; its descriptor goes beside it."""
    body = Marshal()
    body.string("/org/bus1/DBus/Listener/0")
    body.uint32(0)
    put_policy(body)
    m = Marshal()

    def field(code: int, signature: str, put: Callable[[], None]) -> Callable[[], None]:
        def write() -> None:
            m.byte(code)
            m.signature(signature)
            put()

        return write

    for value in (ord("l"), 1, 0, 1):
        m.byte(value)
    m.uint32(len(body.data))
    m.uint32(1)
    m.array(
        8,
        [
            field(1, "o", lambda: m.string("/org/bus1/DBus/Broker")),
            field(2, "s", lambda: m.string("org.bus1.DBus.Broker")),
            field(3, "s", lambda: m.string("AddListener")),
            field(8, "g", lambda: m.signature("ohv")),
            field(9, "u", lambda: m.uint32(1)),
        ],
    )
    m.align(8)
    return bytes(m.data + body.data)


def control(controller: socket.socket, listener: socket.socket) -> None:
    """Make the broker at the other end of ``controller`` accept on ``listener``."""
    controller.settimeout(TIMEOUT)
    uid = str(os.getuid()).encode().hex().encode()
    controller.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
    got = b""
    while got.count(b"\r\n") < 2:
        part = controller.recv(4096)
        if not part:
            raise RuntimeError("dbus-broker closed its controller")
        got += part
    rights = array.array("i", [listener.fileno()])
    controller.sendmsg([add_listener_call()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    reply = controller.recv(65536)
    if len(reply) < 2 or reply[1] != METHOD_RETURN:
        raise RuntimeError(f"AddListener failed: {reply!r}")
    controller.settimeout(None)
    threading.Thread(target=_drain, args=(controller,), daemon=True).start()


def _drain(controller: socket.socket) -> None:
    try:
        while controller.recv(65536):
            pass
    except OSError:
        pass
