"""The threads to and from another host: order, what blocks, what is too much."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from omnibus.link.lane import AT_ONCE, Lane

DEADLINE = 20.0  # seconds


class Wire:
    """What a lane puts packets to: it blocks while it is told to."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.threads: list[threading.Thread] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.entered = threading.Semaphore(0)

    def put(self, packet: bytes) -> None:
        self.entered.release()
        assert self.is_open.wait(DEADLINE)
        self.threads.append(threading.current_thread())
        self.packets.append(packet)

    async def until(self, count: int) -> None:
        """Wait until that many have entered, in a thread so that the loop goes on."""
        for _ in range(count):
            entered = await asyncio.get_running_loop().run_in_executor(None, self._enter)
            assert entered

    def _enter(self) -> bool:
        return self.entered.acquire(timeout=DEADLINE)


@pytest.fixture
async def lane() -> Iterator[Lane]:  # type: ignore[misc]
    found = Lane("b", 10_000)
    found.open()
    yield found
    found.stop()


class TestOut:
    async def test_order(self, lane: Lane) -> None:
        """Whether the thread puts it, or it is put at once."""
        wire = Wire()
        lane.start(wire.put)
        sent = [bytes([number]) for number in range(200)]
        for number, packet in enumerate(sent):
            lane.send(packet, is_alone=number % 3 == 0)
        await wire.until(len(sent))
        lane.stop()
        lane.join(DEADLINE)
        assert wire.packets == sent

    async def test_what_is_alone_is_put_at_once(self, lane: Lane) -> None:
        wire = Wire()
        lane.start(wire.put)
        lane.send(b"x", is_alone=True)
        assert wire.threads == [threading.current_thread()]
        lane.send(b"x" * AT_ONCE, is_alone=True)
        await wire.until(2)
        lane.stop()
        lane.join(DEADLINE)
        assert wire.threads[1] is not threading.current_thread()

    async def test_a_host_that_takes_nothing(self, lane: Lane) -> None:
        """The loop goes on, nothing overtakes, and what is cleared is never sent."""
        wire = Wire()
        lane.start(wire.put)
        wire.is_open.clear()
        lane.send(b"blocked")
        await wire.until(1)
        lane.send(b"cleared", is_alone=True)
        assert wire.packets == []
        lane.clear()
        lane.send(b"last")
        wire.is_open.set()
        await wire.until(1)
        lane.stop()
        lane.join(DEADLINE)
        assert wire.packets == [b"blocked", b"last"]


class TestIn:
    """Packets of another thread."""

    async def test_order(self) -> None:
        lane = Lane("b", 1 << 20)
        lane.open()
        taken: list[bytes] = []
        done = asyncio.Event()

        def take(packet: bytes) -> None:
            taken.append(packet)
            if len(taken) == 1000:
                done.set()

        lane.connect(take, done.set)
        sent = [number.to_bytes(2) for number in range(1000)]

        def arrive() -> None:
            for packet in sent:
                lane.arrive(packet)

        await asyncio.get_running_loop().run_in_executor(None, arrive)
        await asyncio.wait_for(done.wait(), DEADLINE)
        assert taken == sent
        # It is counted behind the handler.
        await asyncio.sleep(0)
        assert lane.waiting == 0

    async def test_too_much(self, lane: Lane) -> None:
        """It is told once, and nothing is taken until the lane is opened again."""
        taken: list[bytes] = []
        told: list[None] = []
        lane.connect(taken.append, lambda: told.append(None))
        for _ in range(100):
            lane.arrive(b"x" * 1000)
        assert lane.waiting > 10_000
        await asyncio.sleep(0)
        assert told == [None]
        lane.shut()
        lane.arrive(b"x")
        await asyncio.sleep(0)
        before = len(taken)
        lane.open()
        assert lane.waiting == 0
        lane.arrive(b"again")
        await asyncio.sleep(0)
        assert taken[before:] == [b"again"]

    async def test_an_empty_packet_takes_room(self, lane: Lane) -> None:
        told: list[None] = []
        lane.connect(lambda _: None, lambda: told.append(None))
        for _ in range(1000):
            lane.arrive(b"")
        await asyncio.sleep(0)
        assert told == [None]
