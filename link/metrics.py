"""Metrics of a link, as text at a socket: connect, and read to the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from ..openmetrics import Family, text_of
from .counters import METRICS
from .link import Link
from .peer import Peer
from .standin import StandIn

MODE: Final = 0o660


def text(link: Link, form: str = "openmetrics") -> str:
    """Return all metrics; the label ``bus`` is that of a bus, and ``peer`` a host that it is linked with."""
    peers = [({"bus": name, "peer": peer.host}, peer) for name, peer in link.peers]
    found = [
        Family(
            name,
            "counter",
            help_text,
            tuple((labels, getattr(peer.counters, key)) for labels, peer in peers),
        )
        for key, (name, help_text) in METRICS.items()
    ]
    gauges: dict[str, tuple[str, Callable[[StandIn], int]]] = {
        "omnibus_link_stand_ins": ("connections that stand for those of the peer", lambda one: 1),
        "omnibus_link_rules": ("match rules of stand-ins", lambda one: len(one.rules)),
        "omnibus_link_calls": ("calls of the peer without a reply", lambda one: one.calls),
        "omnibus_link_queued_bytes": ("bytes that the bus has not read", lambda one: one.client.queued),
    }
    states: dict[str, tuple[str, Callable[[Peer], int]]] = {
        "omnibus_link_up": ("1 while names cross", lambda one: int(one.remote is not None)),
        "omnibus_link_paused": ("1 while the peer does not keep up", lambda one: int(one.is_paused)),
    }
    for name, (help_text, state) in states.items():
        found.append(Family(name, "gauge", help_text, tuple((labels, state(peer)) for labels, peer in peers)))
    for name, (help_text, value) in gauges.items():
        samples = tuple((labels, sum(value(one) for one in peer.standins)) for labels, peer in peers)
        found.append(Family(name, "gauge", help_text, samples))
    return text_of(found, "link", form)


def place(configured: Path | None) -> Path | None:
    """Return where the socket is to be; None: there is none."""
    directory = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return configured or (Path(directory) / "metrics" if directory else None)


@contextlib.asynccontextmanager
async def served(link: Link, path: Path | None) -> AsyncIterator[None]:
    """Serve them at a path, for the owner and its group; None: nowhere."""
    if path is None:
        yield
        return

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text(link).encode())
        writer.close()

    server = await asyncio.start_unix_server(answer, sock=_listener(path))
    try:
        yield
    finally:
        server.close()
        _remove(path)


def _listener(path: Path) -> socket.socket:
    """Return a socket at a path, in place of one that an earlier process has left."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    path.chmod(MODE)
    return sock


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
