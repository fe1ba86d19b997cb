"""Status notification of the service manager (sd_notify(3)): one datagram a message."""

from __future__ import annotations

import array
import os
import select
import socket
import time
from collections.abc import Mapping

PATIENCE = 1.0  # seconds


class Notifier:
    """Sends notifications to $NOTIFY_SOCKET; without it every method does nothing.

    No method raises. A message that the manager has no room for waits a second at most, and then is lost;
    ``watchdog`` does not wait.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = os.fsencode("\0" + name[1:] if name.startswith("@") else name)
        self._socket: socket.socket | None = None
        if name.startswith(("@", "/")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.watchdog_interval = _watchdog_interval(environment) if self._socket else None

    def ready(self, status: str = "") -> None:
        """Report that clients can connect, or that a reload is over."""
        self._send("READY=1", *_status(status))

    def reloading(self) -> None:
        """Report the begin of a reload; ``ready`` must follow."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Report the begin of the shutdown."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Report the status in one line."""
        self._send(*_status(text))

    def watchdog(self) -> None:
        """Send the keep-alive, which is due every ``watchdog_interval`` seconds, if that is not None."""
        self._send("WATCHDOG=1", patience=0)

    @property
    def is_on(self) -> bool:
        """True if there is a manager."""
        return self._socket is not None

    def main_process(self, pid: int, *, wait: bool = False) -> None:
        """Report which process of the unit is its main one; ``wait`` until the manager knows.

        It needs NotifyAccess=all in the unit.
        """
        self._send(f"MAINPID={pid}")
        if wait and self._socket is not None:
            self._barrier(self._socket)

    def store(self, fd: int, name: str) -> None:
        """Leave a descriptor with the manager, which passes it to the next process of the unit by its name.

        It replaces those of that name. Returns when the manager has it. It needs FileDescriptorStoreMax= in
        the unit; after a stop the manager closes it.
        """
        self.forget(name)
        if self._socket is None:
            return
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
        text = f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0"  # a socket whose other end is closed is to stay
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.sendmsg([text.encode()], [rights], 0, self._address)
        except OSError:
            return
        self._barrier(self._socket)

    def forget(self, name: str) -> None:
        """Let the manager close the descriptors of a name."""
        self._send("FDSTOREREMOVE=1", f"FDNAME={name}")

    def _barrier(self, sock: socket.socket) -> None:
        """Wait until the manager has handled all messages: it closes a descriptor, in their order."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            sock.settimeout(PATIENCE)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))
            sock.sendmsg([b"BARRIER=1"], [rights], 0, self._address)
        except OSError:
            return
        finally:
            os.close(writing)
            poll = select.poll()
            poll.register(reading, 0)
            poll.poll(1000 * PATIENCE)
            os.close(reading)

    def close(self) -> None:
        """Close the socket; later notifications are discarded."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _send(self, *assignments: str, patience: float | None = None) -> None:
        if self._socket is None:
            return
        self._socket.settimeout(PATIENCE if patience is None else patience)
        try:
            self._socket.sendto("\n".join(assignments).encode("utf-8", "backslashreplace"), self._address)
        except OSError:
            pass


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Return a third of $WATCHDOG_USEC, in seconds, if it is meant for this process.

    With a third, one message may be lost.
    """
    limit = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not limit.isdecimal() or int(limit) == 0 or pid != str(os.getpid()):
        return None
    return int(limit) / 3e6
