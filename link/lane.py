"""The way to and from one other host, whose two ends are threads.

Zenoh blocks who puts something while a host takes nothing, so a thread of each host does that: no other host
and nothing of this one waits for it. Only what certainly finds room is put at once, which is most of what is
said one after another: a switch of threads costs as much as all else. What comes arrives in a thread of
Zenoh's, and waits in a bounded queue.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from .client import batch_of

TURN: Final = 32
"""Packets that are handled before others get their turn."""
AT_ONCE: Final = 48 << 10  # bytes: less than one batch of Zenoh's, which has two
OVERHEAD: Final = 128  # bytes that a packet in the queue takes besides its own


class Lane:
    """A queue to another host and one from it.

    ``limit`` is for bytes that were received and not handled.
    """

    def __init__(self, host: str, limit: int) -> None:
        self.host = host
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._batch = batch_of(self._loop)
        self._receive: Callable[[bytes], None] = _nothing
        self._overflow: Callable[[], None] = _nothing
        self._out: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._turn = 0
        self._put: Callable[[bytes], Any] = _nothing
        # Packets for the thread, and those that it has put: each has one writer.
        self._given = 0
        self._done = 0
        self._inbox: deque[bytes] = deque()
        # Each has one writer: the thread of Zenoh's, and the loop.
        self._arrived = 0
        self._handled = 0
        self._is_open = False
        self._is_due = False
        self._thread: threading.Thread | None = None

    def connect(self, receive: Callable[[bytes], None], overflow: Callable[[], None]) -> None:
        """Set what takes packets, and what is called when there are too many."""
        self._receive = receive
        self._overflow = overflow

    # Out.

    def start(self, put: Callable[[bytes], Any]) -> None:
        """Send from now on."""
        self._put = put
        self._thread = threading.Thread(target=self._run, name=f"to {self.host}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (item := self._out.get()) is not None:
            turn, packet = item
            if turn == self._turn:
                self._put(packet)
            self._done += 1

    def send(self, packet: bytes, is_alone: bool = False) -> None:
        """Send a packet, after those before it; ``is_alone``: the other host has handled them all."""
        if is_alone and self._given == self._done and len(packet) < AT_ONCE:
            self._put(packet)
            return
        self._given += 1
        self._out.put((self._turn, packet))

    def clear(self) -> None:
        """Send nothing of what waits."""
        self._turn += 1

    def stop(self) -> None:
        """End the thread, once what it is sending is sent."""
        self.clear()
        self._is_open = False
        self._out.put(None)

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread, in seconds."""
        if self._thread:
            self._thread.join(timeout)

    # In.

    def open(self) -> None:
        """Take what comes."""
        if not self._is_open:
            self._inbox.clear()
            self._handled = self._arrived
            self._is_open = True

    def shut(self) -> None:
        """Take nothing."""
        self._is_open = False
        self._inbox.clear()

    @property
    def waiting(self) -> int:
        """Bytes that wait to be handled."""
        return self._arrived - self._handled

    def arrive(self, packet: bytes) -> None:
        """Take a packet, in a thread of Zenoh's."""
        if not self._is_open:
            return
        self._arrived += len(packet) + OVERHEAD
        if self._arrived - self._handled > self._limit:
            self._is_open = False
            self._loop.call_soon_threadsafe(self._overflow)
            return
        self._inbox.append(packet)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        # Before the queue is looked at: what comes after that calls this again.
        self._is_due = False
        with self._batch:
            for _ in range(TURN):
                if not self._inbox:
                    return
                packet = self._inbox.popleft()
                self._receive(packet)
                self._handled += len(packet) + OVERHEAD
        if self._inbox and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._drain)


def _nothing(*_: object) -> None:
    """Do nothing."""
