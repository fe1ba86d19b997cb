"""Results of tests of other projects, which print them as the Test Anything Protocol."""

from __future__ import annotations

import re
from typing import Final

RESULT: Final = re.compile(r"^(ok|not ok) \d+ (\S+)(.*)$", re.MULTILINE)

Results = dict[str, str]
"""The outcome of each test by its name: "passed", "failed" or "skipped"."""


def results(text: str) -> Results:
    """Return the outcomes in the output of a program."""
    return {name: _outcome(ok, rest) for ok, name, rest in RESULT.findall(text)}


def _outcome(ok: str, rest: str) -> str:
    if ok != "ok":
        return "failed"
    return "skipped" if "# SKIP" in rest.upper() else "passed"


def worse(reference: Results, ours: Results) -> dict[str, str]:
    """Return the outcomes of ours where the reference has passed, and ours has not."""
    return {
        name: ours.get(name, "did not run")
        for name, outcome in reference.items()
        if outcome == "passed" and ours.get(name) != "passed"
    }
