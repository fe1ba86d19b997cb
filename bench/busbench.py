"""Runs the clients, a C program, and keeps their reports."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "build" / "busbench"
TIMEOUT = 300  # seconds that one run may take, hung clients included

Run = dict[str, Any]


def build() -> None:
    """Compile busbench, if necessary."""
    subprocess.run(["make", "-s", "-C", HERE], check=True)


def run(arguments: Sequence[str]) -> list[Run]:
    """Return one result a case; a failed one has ``ok`` False and an ``error``."""
    done = subprocess.run(
        [PROGRAM, "--json", *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    results: list[Run] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode and all(result["ok"] for result in results):
        results.append({"case": " ".join(arguments), "ok": False, "error": done.stderr.strip()})
    return results


@dataclass
class Results:
    """All runs of all cases with all daemons and floors."""

    runs: dict[str, dict[str, list[Run]]] = field(default_factory=dict)
    memory: dict[str, dict[int, Run]] = field(default_factory=dict)
    syscalls: dict[str, dict[str, Run]] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, target: str, results: Sequence[Run], busy: float = 0.0, suffix: str = "") -> None:
        """Keep the results of one run for ``target``; a floor's cases end in its name."""
        for result in results:
            case = result["case"].split(":")[0] + suffix
            if not result["ok"]:
                self.failures.append((target, case, result.get("error", "")))
            elif case == "memory":
                self.memory.setdefault(target, {})[result["connections"]] = result
            else:
                result["busy_before"] = round(busy, 2)
                self.runs.setdefault(case, {}).setdefault(target, []).append(result)

    def values(self, case: str, target: str, key: str) -> list[float]:
        """The figures of all rounds."""
        return [run[key] for run in self.runs.get(case, {}).get(target, []) if key in run]

    def median(self, case: str, target: str, key: str) -> float | None:
        """The median figure, None if there is none."""
        values = self.values(case, target, key)
        return median(values) if values else None

    def spread(self, case: str, target: str, key: str) -> float | None:
        """(greatest - least) / median; None with a single round."""
        values = self.values(case, target, key)
        return (max(values) - min(values)) / median(values) if len(values) > 1 and median(values) else None
