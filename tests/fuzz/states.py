# SPDX-License-Identifier: MIT
"""The states that a run reaches, and those that it has to reach."""

from __future__ import annotations

from collections import Counter

# Seconds after which a run must have been there at least once. What isn't named here need not be reached.
DUE = {
    "connected": 10,
    "messages received": 10,
}


def table(reached: Counter[str]) -> str:
    """Return the table for people."""
    return "\n".join(f"{name:52} {n:14,}" for name, n in reached.items())


def missing(reached: Counter[str], seconds: float) -> list[str]:
    """Return what is due and was never reached."""
    return [name for name, due in DUE.items() if seconds >= due and not reached[name]]
