"""Growth: what each further connection, match rule and name takes of a bus, and what a long run leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from . import usage
from .daemons import Daemon
from .filler import Filler, signal_to

RULES_OF_ONE: Final = 40_000
NAMES_OF_ONE: Final = 40_000
"""Less than the limits of settings.WIDE for one connection: its unique name is one of its names."""
PROBES: Final = 2_000
"""Calls that are measured after each step."""
PERIOD: Final = 0.01  # seconds
BODY: Final = 64  # bytes


@dataclass(frozen=True)
class Step:
    """The bus with ``n`` items. Of each item since the step before: CPU in µs, memory of its own in bytes.

    ``call`` is the CPU in µs of a call to the driver that the items have no part in.
    """

    n: int
    cpu: float
    memory: float
    call: float


@dataclass(frozen=True)
class Sample:
    """A moment of a long run: seconds since its begin, KiB of its own, CPU in µs a message since the last."""

    at: float
    memory: int
    cpu: float
    messages: int


class Measure:
    """A bus to be filled."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._probe = Filler(daemon.address)
        self.fillers: list[Filler] = []

    def connections(self, steps: Sequence[int]) -> Iterator[Step]:
        """Open connections, which stay."""

        def add(first: int, last: int) -> None:
            self.fillers += (Filler(self._daemon.address) for _ in range(first, last))

        return self._steps(steps, add)

    def rules(self, steps: Sequence[int]) -> Iterator[Step]:
        """Add match rules, each with an interface of its own, of as few connections as may have them."""

        def add(first: int, last: int) -> None:
            self._spread(first, last, RULES_OF_ONE, "AddMatch", "s", _rule)

        return self._steps(steps, add)

    def names(self, steps: Sequence[int]) -> Iterator[Step]:
        """Request names."""

        def add(first: int, last: int) -> None:
            self._spread(first, last, NAMES_OF_ONE, "RequestName", "su", _name)

        return self._steps(steps, add)

    def close(self) -> None:
        """Close all connections."""
        for one in (self._probe, *self.fillers):
            one.close()

    def _spread(
        self,
        first: int,
        last: int,
        most: int,
        member: str,
        signature: str,
        arguments: Callable[[int], Sequence[object]],
    ) -> None:
        """Make calls, of which each connection makes at most so many."""
        while first < last:
            if first % most == 0:
                self.fillers.append(Filler(self._daemon.address))
            end = min(last, first - first % most + most)
            self.fillers[-1].calls(member, signature, map(arguments, range(first, end)))
            first = end

    def _steps(self, steps: Iterable[int], add: Callable[[int, int], None]) -> Iterator[Step]:
        before = 0
        self._call()  # what only the first call takes is no item's
        memory = usage.own_memory(self._daemon.pids())
        for n in steps:
            began = usage.cpu(self._daemon.pids())
            add(before, n)
            took = usage.cpu(self._daemon.pids()) - began
            now = usage.own_memory(self._daemon.pids())
            items = n - before
            yield Step(n, 1e6 * took / items, 1024 * (now - memory) / items, self._call())
            before, memory = n, now

    def _call(self) -> float:
        """Return the CPU in µs of a call."""
        began = usage.cpu(self._daemon.pids())
        self._probe.calls("GetId", "", ((),) * PROBES)
        return 1e6 * (usage.cpu(self._daemon.pids()) - began) / PROBES


def _rule(n: int) -> Sequence[object]:
    return (f"type='signal',interface='org.busbench.Growth{n}'",)


def _name(n: int) -> Sequence[object]:
    return (f"org.busbench.Growth{n}", 0)


def endure(daemon: Daemon, rate: int, seconds: float, samples: int) -> Iterator[Sample]:
    """Send signals to one connection at this rate a second, and look at the bus so many times."""
    sender, receiver = Filler(daemon.address), Filler(daemon.address)
    one = signal_to(receiver.name, BODY)
    stamp = 8 + len(sender.name) + 1  # the field SENDER, which every bus inserts
    received = len(one) + stamp + -stamp % 8
    batch = max(1, round(rate * PERIOD))
    began = time.monotonic()
    sent = measured = 0
    cpu = usage.cpu(daemon.pids())
    for number in range(1, samples + 1):
        end = began + seconds * number / samples
        while (now := time.monotonic()) < end:
            if sent < rate * (now - began):
                sender.send(one * batch)
                receiver.receive(received * batch)
                sent += batch
            else:
                time.sleep(PERIOD / 4)
        total = usage.cpu(daemon.pids())
        if sent == measured:
            raise RuntimeError("nothing was sent between two samples")
        each = 1e6 * (total - cpu) / (sent - measured)
        yield Sample(time.monotonic() - began, usage.own_memory(daemon.pids()), each, sent - measured)
        cpu, measured = total, sent
    sender.close()
    receiver.close()
