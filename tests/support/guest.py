"""What is left out where the tests run in a guest (``make guest-test``), and why."""

from __future__ import annotations

import os

IN_GUEST = "OMNIBUS_GUEST" in os.environ

LEFT_OUT = {
    "tests/bus/test_start.py::TestDuration": "an emulated machine starts nothing within milliseconds",
    "tests/bus/test_multicast.py::TestChoice::test_file": "a command line with the option beats the file",
}
"""The beginnings of tests' ids."""


def left_out(test: str) -> str:
    """Why this test makes no sense here; "" if it does."""
    reasons = (why for start, why in LEFT_OUT.items() if test.startswith(start))
    return next(reasons, "") if IN_GUEST else ""
