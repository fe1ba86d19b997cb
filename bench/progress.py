"""What a run of the benchmarks says while it lasts."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr)
