"""What a bus takes of the machine, summed over all of its processes and their threads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_OWN = re.compile(r"^(?:Private_Dirty|Swap): +(\d+) kB", re.MULTILINE)
_PSS = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)
_SLEPT = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)


def _of_all(pids: Iterable[int], name: str) -> Iterable[str]:
    for pid in pids:
        try:
            yield Path(f"/proc/{pid}/{name}").read_text()
        except OSError:
            continue  # it has ended


def _of_tasks(pids: Iterable[int], name: str) -> Iterable[str]:
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob(f"*/{name}"):
            try:
                yield path.read_text()
            except OSError:
                continue


def own_memory(pids: Iterable[int]) -> int:
    """Return the KiB that no other process shares, in memory or swapped."""
    return sum(int(kib) for text in _of_all(pids, "smaps_rollup") for kib in _OWN.findall(text))


def pss(pids: Iterable[int]) -> int:
    """Return the KiB of memory, of shared pages the part of each process."""
    return sum(int(kib) for text in _of_all(pids, "smaps_rollup") for kib in _PSS.findall(text))


def cpu(pids: Iterable[int]) -> float:
    """Return the seconds of CPU time so far; a thread that has ended does not count."""
    return sum(int(text.split()[0]) for text in _of_tasks(pids, "schedstat")) / 1e9


def wakeups(pids: Iterable[int]) -> int:
    """Return how often a thread went to sleep."""
    return sum(int(n) for text in _of_tasks(pids, "status") for n in _SLEPT.findall(text))
