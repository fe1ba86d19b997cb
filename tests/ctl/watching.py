"""Programs that watch a bus for long, and a service for them to see."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.programs import Program
from support.raw import BUS, DEADLINE, Client

from .conftest import PROGRAM

NAME = "com.example.Echo"
INSPECT = "org.omnibus.Inspect1"
ME = f"[{os.getpid()}]"


class Echo:
    """A service that answers every call after a pause, in a thread."""

    def __init__(self, client: Client, pause: float = 0.0) -> None:
        self.client = client
        self.pause = pause
        client.driver("RequestName", "su", NAME, 0)
        self._thread = threading.Thread(target=self._serve)
        self._ends = False
        self._thread.start()

    def _serve(self) -> None:
        while True:
            call = self.client.take(type=1)
            if call.member == "End":
                return
            threading.Event().wait(self.pause)
            if call.member == "Fail":
                self.client.error(call, "com.example.Error.Failed", "no")
            else:
                self.client.reply(call)

    def stop(self, client: Client) -> None:
        client.start_call(self.client.unique, "End", flags=1)
        self._thread.join(DEADLINE)


@contextmanager
def watching(address: str, *arguments: str) -> Iterator[Program]:
    """Run a verb of long duration, which is a monitor when this returns."""
    client = Client(address)
    running = Program([str(PROGRAM), "--address", address, *arguments], os.environ)
    try:
        client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged'")
        # A monitor loses its unique name.
        lost: set[str] = set()
        end = time.monotonic() + DEADLINE
        while not lost and time.monotonic() < end:
            changed = client.take(type=4, member="NameOwnerChanged")
            name, old, new = changed.body
            if name.startswith(":") and old and not new:
                lost.add(name)
        yield running
    finally:
        client.close()
        running.stop()


def address_of(bus: Any) -> str:
    return str(bus.address)
