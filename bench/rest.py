"""A bus at rest: what a start takes until a client is served, and what is kept and done after that."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import usage
from .daemons import Daemon
from .filler import Filler
from .settings import STOCK

SETTLING: Final = 5.0  # seconds after the first Hello


@dataclass(frozen=True)
class Start:
    """One start: seconds of CPU and of time until the first Hello was answered."""

    cpu: float
    elapsed: float


@dataclass(frozen=True)
class Rest:
    """A bus with one client: KiB of its own and PSS; in ``seconds`` at rest its wake-ups and CPU in ms."""

    own: int
    pss: int
    seconds: float
    wakeups: int
    cpu: float


def start(name: str, command: str, directory: Path) -> tuple[Daemon, Filler, Start]:
    """Start a bus with its own limits, and one client."""
    began = time.monotonic()
    daemon = Daemon(name, command, STOCK, directory)
    client = Filler(daemon.address)
    elapsed = time.monotonic() - began
    return daemon, client, Start(usage.cpu(daemon.pids()), elapsed)


def rest(daemon: Daemon, seconds: float) -> Rest:
    """Look at a bus that has just started, and leave it alone for so long."""
    time.sleep(SETTLING)
    pids = daemon.pids()
    own, pss = usage.own_memory(pids), usage.pss(pids)
    woken, cpu = usage.wakeups(pids), usage.cpu(pids)
    time.sleep(seconds)
    return Rest(own, pss, seconds, usage.wakeups(pids) - woken, 1000 * (usage.cpu(pids) - cpu))
