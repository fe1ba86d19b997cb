"""Timeouts of tests, scaled for slow machines."""

from __future__ import annotations

import os

FACTOR = float(os.environ.get("OMNIBUS_TEST_PATIENCE", "1"))
"""How many times slower than an ordinary machine this one may be; for an emulated one ten to thirty."""


def scaled(seconds: float) -> float:
    """Scale a timeout."""
    return seconds * FACTOR
