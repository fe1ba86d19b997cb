"""A controller for a bare dbus-broker: it passes the listening socket and the policy, again at ReloadConfig.

dbus-broker's own launcher needs a running systemd; this needs nothing. It has no files to read, so that a
reload takes less time than with the launcher.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from omnibus.daemon.codec import Message, Variant, make_body, read_message
from omnibus.transport.relay import message as numbers

BATCH: Final = "bta(btbs)a(btssssuutt)a(btssssuutt)"
POLICY: Final = f"(a(u({BATCH}))a(buu({BATCH}))a(ss)bs)"
NAME: Final = "/org/bus1/DBus/Name"
ALL_UIDS: Final = 0xFFFFFFFF
ROOT: Final = 0
BROKER: Final = "/org/bus1/DBus/Broker"
LISTENER: Final = "/org/bus1/DBus/Listener/0"
TIMEOUT: Final = 5.0  # seconds that the broker may take to answer

Rule = list[Any]


def own(name: str, priority: int) -> Rule:
    """Allow owning a name."""
    return [True, priority, False, name]


def send(allow: bool, name: str, interface: str, priority: int) -> Rule:
    """Allow or deny sending to a name; an empty interface is any."""
    return [allow, priority, name, "", interface, "", 0, 0, 0, 2**64 - 1]


def policy(services: int) -> Variant:
    """Return a policy that allows everything, with the rules of as many drop-in files as in settings.py."""
    of_root: list[Rule] = []
    sends = [send(True, "", "", 1)]
    for n in range(services):
        name = f"org.busbench.Service{n}"
        priority = 4 * n + 2
        of_root.append(own(name, priority))
        sends.append(send(True, name, "", priority + 1))
        sends.append(send(True, name, "org.freedesktop.DBus.Properties", priority + 2))
        sends.append(send(False, name, f"{name}.Private", priority + 3))
    anything = [True, 1, True, ""]
    default = [ALL_UIDS, [True, 1, [anything], sends, [send(True, "", "", 1)]]]
    root = [ROOT, [True, 1, [anything, *of_root], sends, [send(True, "", "", 1)]]]
    return Variant(POLICY, [[default, root], [], [], False, "session"])


class Controller:
    """The broker's controller; ``services`` is the number of drop-in files.

    ``activatable`` are names that can be started: a wanted one is sent as a datagram to ``starts``.
    """

    def __init__(
        self, sock: socket.socket, services: int, activatable: Sequence[str] = (), starts: str = ""
    ) -> None:
        self._sock = sock
        self._activatable = activatable
        self._starts = starts
        self._stream = sock.makefile("rb")
        self._services = services
        self._serial = 0
        self._reloads: dict[int, int] = {}  # the serial of a SetPolicy, and the one that asked for it

    def listen(self, listener: socket.socket) -> None:
        """Make the broker accept on ``listener``, and answer its calls from then on."""
        self._sock.settimeout(TIMEOUT)
        uid = str(os.getuid()).encode().hex().encode()
        self._sock.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
        for _ in ("OK", "AGREE_UNIX_FD"):
            self._stream.readline()
        for number, name in enumerate(self._activatable):
            call = self._call(BROKER, "org.bus1.DBus.Broker", "AddName", "osu", [f"{NAME}/{number}", name, 0])
            self._sock.sendall(call.encode())
            self._expect_return("AddName")
        body = [LISTENER, 0, policy(self._services)]
        call = self._call(BROKER, "org.bus1.DBus.Broker", "AddListener", "ohv", body)
        call.fields[numbers.UNIX_FDS] = Variant("u", 1)
        socket.send_fds(self._sock, [call.encode()], [listener.fileno()])
        self._expect_return("AddListener")
        self._sock.settimeout(None)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cpu(self) -> float:
        """Return the CPU time of the controller since the broker listens, in seconds."""
        fields = Path(f"/proc/self/task/{self._thread.native_id}/schedstat").read_text().split()
        return int(fields[0]) / 1e9

    def close(self) -> None:
        """Close the connection, which ends the broker."""
        self._sock.close()

    def _call(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> Message:
        self._serial += 1
        fields = {
            numbers.PATH: Variant("o", path),
            numbers.INTERFACE: Variant("s", interface),
            numbers.MEMBER: Variant("s", member),
            numbers.DESTINATION: Variant("s", interface),
            numbers.SIGNATURE: Variant("g", signature),
        }
        return Message(numbers.METHOD_CALL, self._serial, fields, make_body(signature, body))

    def _receive(self) -> Message | None:
        try:
            return read_message(self._stream)
        except (OSError, ValueError):
            return None

    def _expect_return(self, member: str) -> None:
        reply = self._receive()
        if reply is None or reply.type != numbers.METHOD_RETURN:
            raise RuntimeError(f"{member} failed: {reply}")

    def _start(self, path: str) -> None:
        """Say that a name is wanted; without a listener it is not started."""
        name = self._activatable[int(path.rpartition("/")[2])]
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(name.encode(), self._starts)

    def _serve(self) -> None:
        while (message := self._receive()) is not None:
            member = message.fields.get(numbers.MEMBER)
            answered = message.fields.get(numbers.REPLY_SERIAL)
            if member is not None and member.value == "ReloadConfig":
                call = self._call(
                    LISTENER, "org.bus1.DBus.Listener", "SetPolicy", "v", [policy(self._services)]
                )
                self._reloads[self._serial] = message.serial
            elif answered is not None and answered.value in self._reloads:
                self._serial += 1
                reply_to = Variant("u", self._reloads.pop(answered.value))
                call = Message(numbers.METHOD_RETURN, self._serial, {numbers.REPLY_SERIAL: reply_to})
            elif member is not None and member.value == "Activate":
                self._start(str(message.fields[numbers.PATH].value))
                continue
            else:
                continue
            self._sock.sendall(call.encode())
