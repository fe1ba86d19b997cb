"""Packets between two sessions on loopback by each protocol, and what keeps one from starting."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnibus.link.engine import Engine
from omnibus.link.lane import Lane
from omnibus.link.zenoh_config import Zenoh, settings

from .hosts import Authority

ADDRESS = "127.0.0.1"
DEADLINE = 20.0  # seconds


class Node:
    """An engine with one lane, and what has come by it."""

    def __init__(self, name: str, other: str, **table: Any) -> None:
        self.lane = Lane(other, 1 << 20)
        self.lane.connect(self._receive, lambda: None)
        self.lane.open()
        self.packets: list[bytes] = []
        self.is_there = False
        self._changed = asyncio.Event()
        zenoh = Zenoh(**table)
        paths = {field: str(path) for field, path in zenoh.files}
        found = settings(zenoh, name, [other], 1 << 20, paths)
        self.engine = Engine(name, {other: self.lane}, found, self._there)

    def _receive(self, packet: bytes) -> None:
        self.packets.append(packet)
        self._changed.set()

    def _there(self, _: str, is_there: bool) -> None:
        self.is_there = is_there
        self._changed.set()

    async def until(self, reached: Callable[[Node], bool]) -> None:
        while not reached(self):
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), DEADLINE)


class TestSessions:
    @pytest.mark.parametrize("protocol", ["tcp", "tls", "quic"])
    async def test_packets_and_the_end(self, protocol: str, tmp_path: Path) -> None:
        pytest.importorskip("zenoh")
        place = f"{protocol}/{ADDRESS}:{free_port()}"
        authority = Authority(tmp_path)
        files = {name: {} if protocol == "tcp" else authority.issue_files(name, ADDRESS) for name in "ab"}
        a = Node("a", "b", listen=[place], **files["a"])
        b = Node("b", "a", connect=[place], **files["b"])
        await a.engine.start()
        await b.engine.start()
        await a.until(lambda one: one.is_there)
        await b.until(lambda one: one.is_there)
        sent = [number.to_bytes(4) * number for number in range(1, 300)]
        for packet in sent:
            a.lane.send(packet)
            b.lane.send(packet[::-1])
        await a.until(lambda one: len(one.packets) == len(sent))
        await b.until(lambda one: len(one.packets) == len(sent))
        assert b.packets == sent
        assert a.packets == [packet[::-1] for packet in sent]
        await a.engine.stop()
        await b.until(lambda one: not one.is_there)
        await b.engine.stop()

    async def test_a_host_that_is_absent_is_not_waited_for(self) -> None:
        pytest.importorskip("zenoh")
        b = Node("b", "a", connect=[f"tcp/127.0.0.1:{free_port()}"])
        await asyncio.wait_for(b.engine.start(), DEADLINE)
        assert not b.is_there
        await asyncio.wait_for(b.engine.stop(), DEADLINE)


class TestErrors:
    async def test_an_address_that_is_taken(self) -> None:
        pytest.importorskip("zenoh")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            one = Node("a", "b", listen=[f"tcp/127.0.0.1:{taken.getsockname()[1]}"])
            with pytest.raises(OSError, match="Zenoh: "):
                await one.engine.start()
            await one.engine.stop()

    async def test_no_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "zenoh", None)
        one = Node("a", "b", listen=["tcp/127.0.0.1:1"])
        with pytest.raises(OSError, match=r"install omnibus-dbus\[link\]"):
            await one.engine.start()
        await one.engine.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
