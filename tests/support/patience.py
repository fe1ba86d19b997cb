"""How long tests wait for what must happen."""

from __future__ import annotations

import os

FACTOR = float(os.environ.get("OMNIBUS_TEST_PATIENCE", "1"))
"""How many times slower than an ordinary machine this one may be; an emulated one is ten to thirty times."""


def patient(seconds: float) -> float:
    """Stretch a deadline."""
    return seconds * FACTOR
