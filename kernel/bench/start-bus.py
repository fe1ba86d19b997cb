#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""start-bus.py dbus-daemon|dbus-broker SOCKET COMMAND...: runs a command while that bus listens at SOCKET.

dbus-broker needs a controller that hands it a listening socket and a policy; its own launcher needs
systemd. This script is a minimal controller.
"""

import array
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

CONFIGURATION = """<busconfig><type>session</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy></busconfig>"""


class Writer:
    """D-Bus marshalling, as far as one call needs it."""

    def __init__(self) -> None:
        self.bytes = bytearray()

    def pad(self, alignment: int) -> None:
        self.bytes += bytes(-len(self.bytes) % alignment)

    def integer(self, size: int, value: int) -> None:
        self.pad(size)
        self.bytes += value.to_bytes(size, "little")

    def string(self, text: str) -> None:
        self.integer(4, len(text))
        self.bytes += text.encode() + b"\0"

    def signature(self, text: str) -> None:
        self.bytes += bytes([len(text)]) + text.encode() + b"\0"

    def structs(self, *members: list) -> None:
        """An array of structs; each struct is a list of (method, value...)."""
        self.integer(4, 0)
        at = len(self.bytes)
        self.pad(8)
        begin = len(self.bytes)
        for struct_members in members:
            self.pad(8)
            for method, *values in struct_members:
                method(*values)
        struct.pack_into("<I", self.bytes, at - 4, len(self.bytes) - begin)


def allow_everything(writer: Writer) -> None:
    """The policy of dbus-broker's AddListener: every uid may own, send and receive anything."""
    u, s = writer.integer, writer.string
    batch = "bta(btbs)a(btssssuutt)a(btssssuutt)"
    writer.signature(f"(a(u({batch}))a(buu({batch}))a(ss)bs)")
    own = [(u, 4, 1), (u, 8, 1), (u, 4, 1), (s, "")]
    message = [(u, 4, 1), (u, 8, 1), *[(s, "")] * 4, (u, 4, 0), (u, 4, 0), (u, 8, 0), (u, 8, 2**64 - 1)]
    all_uids = [
        (u, 4, 0xFFFFFFFF),
        (writer.pad, 8),
        (u, 4, 1),
        (u, 8, 1),
        (writer.structs, own),
        (writer.structs, message),
        (writer.structs, message),
    ]
    writer.pad(8)
    writer.structs(all_uids)
    writer.structs()
    writer.structs()
    u(4, 0)
    s("session")


def add_listener(controller: socket.socket, listener: socket.socket) -> None:
    body = Writer()
    body.string("/org/bus1/DBus/Listener/0")
    body.integer(4, 0)
    allow_everything(body)
    call = Writer()
    call.bytes += bytes([ord("l"), 1, 0, 1])
    call.integer(4, len(body.bytes))
    call.integer(4, 1)
    fields = [
        (1, "o", call.string, "/org/bus1/DBus/Broker"),
        (2, "s", call.string, "org.bus1.DBus.Broker"),
        (3, "s", call.string, "AddListener"),
        (8, "g", call.signature, "ohv"),
    ]
    members = [
        [(call.integer, 1, code), (call.signature, kind), (put, value)] for code, kind, put, value in fields
    ]
    members.append([(call.integer, 1, 9), (call.signature, "u"), (call.integer, 4, 1)])
    call.structs(*members)
    call.pad(8)
    uid = str(os.getuid()).encode().hex().encode()
    controller.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
    answer = b""
    while answer.count(b"\r\n") < 2:
        answer += controller.recv(4096)
    rights = array.array("i", [listener.fileno()])
    controller.sendmsg([bytes(call.bytes + body.bytes)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    reply = controller.recv(65536)
    if reply[1] != 2:
        raise SystemExit(f"AddListener: {reply!r}")


def start_broker(path: str) -> subprocess.Popen:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    listener.setblocking(False)
    controller, other = socket.socketpair()
    plenty = str(2**31)
    options = {"controller": str(other.fileno()), "machine-id": "0" * 31 + "1", "max-fds": "4096"}
    options |= dict.fromkeys(("max-bytes", "max-objects", "max-matches"), plenty)
    broker = subprocess.Popen(
        ["dbus-broker", *(word for name, value in options.items() for word in ("--" + name, value))],
        pass_fds=[other.fileno()],
        stderr=subprocess.DEVNULL,
    )
    add_listener(controller, listener)
    # Kept open for the lifetime of the broker.
    broker.controller = controller
    return broker


def start_daemon(path: str) -> subprocess.Popen:
    with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as file:
        file.write(CONFIGURATION.format(path=path))
    daemon = subprocess.Popen(["dbus-daemon", "--nofork", "--nopidfile", "--config-file", file.name])
    deadline = time.monotonic() + 30
    while not os.path.exists(path):
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("dbus-daemon did not start")
        time.sleep(0.01)
    os.unlink(file.name)
    return daemon


def main() -> int:
    kind, path, *command = sys.argv[1:]
    started = start_broker(path) if kind == "dbus-broker" else start_daemon(path)
    try:
        return subprocess.run(command).returncode
    finally:
        started.kill()
        started.wait()


if __name__ == "__main__":
    sys.exit(main())
