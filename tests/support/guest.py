"""The tests that are skipped in a guest (``make guest-test``), and why."""

from __future__ import annotations

import os

from .group import MULTICAST

IN_GUEST = "OMNIBUS_GUEST" in os.environ

LEFT_OUT = {
    "tests/bus/test_start.py::TestDuration*": "an emulated machine starts nothing within milliseconds",
    "tests/bus/test_multicast.py::TestChoice::test_file*": "a command line with the option beats the file",
}
"""IDs of tests, in which * stands for any text."""

MALFORMED = "tests/bus/test_malformed_messages.py::"
UNCHECKED = {
    **{
        f"{MALFORMED}TestHeader::test_{what}*-little]": "texts in headers may go directly, unchecked"
        for what in ("header[NUL within", "header[bad UTF-8", "names[path", "names[interface", "names[member")
    },
    f"{MALFORMED}TestBody*-little]": "bodies may go directly, unchecked",
}
"""With the group (docs/using/compatibility.md). Messages in the other byte order go through the bus."""


def is_like(test: str, pattern: str) -> bool:
    """Match a pattern with one *; other characters are literal."""
    start, _, end = pattern.partition("*")
    return test.startswith(start) and test.endswith(end)


def left_out(test: str) -> str:
    """Return why this test is skipped in a guest; "" if it isn't."""
    patterns = LEFT_OUT if MULTICAST == "off" else LEFT_OUT | UNCHECKED
    reasons = (why for pattern, why in patterns.items() if is_like(test, pattern))
    return next(reasons, "") if IN_GUEST else ""
