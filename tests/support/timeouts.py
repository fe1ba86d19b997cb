"""Timeouts of tests, scaled for slow machines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

FACTOR = float(os.environ.get("OMNIBUS_TEST_PATIENCE", "1"))
"""How many times slower than an ordinary machine this one may be; for an emulated one ten to thirty."""


def scaled(seconds: float) -> float:
    """Scale a timeout."""
    return seconds * FACTOR


def await_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds, with a time-out."""
    end = time.monotonic() + scaled(seconds)
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
