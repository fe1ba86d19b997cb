"""A process that loads a bus, for upgrades and for crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.daemon import read_line

from .load import Result

LOAD = Path(__file__).with_name("load.py")
DEADLINE = 300.0  # seconds to connect a thousand clients, and to receive what is under way


TABLE = (
    "\n| load | sent | lost | calls with NoReply | wrong | cut off | longest wait |"
    "\n|---|---|---|---|---|---|---|"
)


def row(what: str, result: Result) -> str:
    """Return a row of the table."""
    sent = f"{result.calls} calls, {result.signals} signals, {result.descriptors} descriptors"
    counts = f"{result.lost} | {result.errors} | {result.wrong} | {result.cut_off}"
    return f"| {what} | {sent} | {counts} | {1000 * result.longest:.0f} ms |"


class Running:
    """A load whose clients are all connected. ``numbers``: the arguments of load.py."""

    def __init__(self, address: str, *numbers: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, LOAD, address, *map(str, numbers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert read_line(self.process.stdout.fileno(), DEADLINE) == "ready\n"

    def end(self) -> Result:
        """End it, and return what came."""
        out, _ = self.process.communicate(timeout=DEADLINE)
        return Result(**json.loads(out))
