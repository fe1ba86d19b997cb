"""What is missing for a link: users, privileges, buses, names, certificates, what the policies refuse.

Each finding is a line; the check changes nothing, but its connections are seen on the buses.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from . import check_net, message
from .client import Answer, Client, bus_error
from .config import Bus, Config, ConfigError, ids_of, user_of
from .host import Host, Refused
from .message import Frame
from .policy import imports_of

PATIENCE: Final = 10.0  # seconds
CAP_SETGID, CAP_SETUID = 6, 7


async def findings(config: Config) -> list[str]:
    """Return what is wrong."""
    found = list(_privileges(config))
    for name, bus in config.bus.items():
        found += [f"{name}: {line}" async for line in _of_bus(name, bus, config.others(name))]
    if config.zenoh is None:
        return found + list(_names(config))
    return found + await check_net.findings(config.zenoh)


def _privileges(config: Config) -> Iterator[str]:
    own = (os.geteuid(), os.getegid())
    for name, bus in config.bus.items():
        for far in config.others(name):
            try:
                ids = ids_of(bus, far)
            except ConfigError as error:
                yield f"{name}: {error}"
                continue
            if ids != own and not _has(CAP_SETUID, CAP_SETGID):
                yield f"{name}: needs CAP_SETUID and CAP_SETGID to connect as {user_of(bus, far)}"


def _has(*capabilities: int) -> bool:
    """Tell whether this process has all of these."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)
    return all(effective >> one & 1 for one in capabilities)


def _names(config: Config) -> Iterator[str]:
    """Yield imports that nothing exports, and exports that nothing imports, of two buses."""
    for name, bus in config.bus.items():
        (far_name,) = config.others(name)
        far = config.bus[far_name]
        offered = {pattern for pattern, one in far.exports.items() if name in one.to}
        for pattern, wanted in bus.imports.items():
            there = wanted.name or pattern
            if not any(_overlap(there, one) for one in offered):
                yield f"{name}: imports {there}, which {far_name} does not export to it"
        sought = {wanted.name or pattern for pattern, wanted in bus.imports.items()}
        for pattern in sorted(offered):
            if not any(_overlap(pattern, one) for one in sought):
                yield f"{far_name}: exports {pattern}, which {name} does not import"


def _overlap(one: str, two: str) -> bool:
    """Tell whether two patterns can have a name in common."""
    a, b = one.removesuffix("*"), two.removesuffix("*")
    if one.endswith("*") and two.endswith("*"):
        return a.startswith(b) or b.startswith(a)
    return b.startswith(a) if one.endswith("*") else a.startswith(b) if two.endswith("*") else one == two


async def _of_bus(name: str, bus: Bus, others: list[str]) -> AsyncIterator[str]:
    """Yield what is wrong with a bus, as a link sees it."""
    lines: list[str] = []
    try:
        host = Host(name, others, bus, lines.append)
        await host.connect()
    except ConfigError:
        return  # reported before
    except (OSError, Refused) as error:
        yield f"no bus at {bus.address}: {error}"
        return
    try:
        why = [line for far in others for line in await _stand_in(bus, far)]
        names = set(await host.call("ListNames")) | set(await host.call("ListActivatableNames"))
        for line in [*(line.partition(": ")[2] for line in lines), *why]:
            yield line
        for pattern, one in bus.exports.items():
            if one.start and pattern not in names:
                yield f"{pattern} is to be started, and this bus knows no such service"
    finally:
        host.close()


async def _stand_in(bus: Bus, far: str) -> list[str]:
    """Connect as the user of another host and ask for names; return what is refused."""
    trial = _Trial()
    limits = bus.limits
    user = user_of(bus, far)
    try:
        client = Client(
            bus.socket, ids_of(bus, far), trial, max_message=limits.max_message, max_queued=limits.queue
        )
    except OSError as error:
        return [f"no connection as {user}: {error}"]
    for here in imports_of(bus, far):
        if here.endswith(".*"):
            continue
        client.call_bus("RequestName", here, 4, answer=trial.answer(here))  # 4: do not queue
    client.call_bus("GetId", answer=lambda _: trial.done.set())
    try:
        await asyncio.wait_for(trial.done.wait(), PATIENCE)
    except TimeoutError:
        trial.refused.append(f"no answer to a connection as {user}")
    client.close()
    return trial.refused


class _Trial:
    """The receiver of a connection that is tried."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.refused: list[str] = []

    def answer(self, name: str) -> Answer:
        """Return what takes the answer to a request for a name."""

        def take(reply: Frame) -> None:
            if reply.type == message.ERROR:
                self.refused.append(f"{name}: {bus_error(reply)}")

        return take

    def named(self, name: bytes) -> None:
        """Take no note."""

    def receive(self, frame: Frame) -> None:
        """Take no note."""

    def too_long(self, frame: Frame) -> None:
        """Take no note."""

    def lost(self, why: str) -> None:
        """Note that the bus has ended it."""
        self.refused.append(why)
        self.done.set()
