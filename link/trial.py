"""A connection as the user of stand-ins, which tells whether the bus lets these call a method of its own."""

from __future__ import annotations

import asyncio

from . import message
from .client import Client, bus_error
from .config import Bus
from .message import Frame, Value


class Trial:
    """One call, and its refusal."""

    def __init__(self, bus: Bus, ids: tuple[int, int], member: str, *values: Value, interface: str) -> None:
        """Connect and call; raises OSError."""
        self._member = member
        self._refusal: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        limits = bus.limits
        self._client = Client(bus.socket, ids, self, max_message=limits.max_message, max_queued=limits.queue)
        self._client.call_bus(member, *values, interface=interface, answer=self._answered)

    async def refusal(self, timeout: float) -> str:
        """Return why the bus refuses it, "" if it does not; raises OSError."""
        try:
            return await asyncio.wait_for(self._refusal, timeout)
        except TimeoutError as error:
            raise OSError(f"{self._member}: the bus has not answered") from error
        finally:
            self._client.close()

    def _answered(self, reply: Frame) -> None:
        self._end(bus_error(reply) if reply.type == message.ERROR else "")

    def _end(self, why: str) -> None:
        if not self._refusal.done():
            self._refusal.set_result(why)

    # The methods of client.Receiver.

    def named(self, name: bytes) -> None:
        """Take no note."""

    def receive(self, frame: Frame) -> None:
        """Take no note: what the bus tells here is for stand-ins."""

    def too_long(self, frame: Frame) -> None:
        """Take no note."""

    def lost(self, why: str) -> None:
        """Hear that the bus has ended it."""
        self._end(why)
