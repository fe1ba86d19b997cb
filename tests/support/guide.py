"""The commands in docs/using/replacing.md, for tests to run as they are."""

from __future__ import annotations

import re
from pathlib import Path

from support.machine import Machine

CHECKOUT = Path(__file__).parent.parent.parent
GUIDE = CHECKOUT / "docs/using/replacing.md"


def commands(name: str) -> str:
    """Return the block of commands with this name: what stands between ```sh name and the next ```."""
    found = re.findall(
        rf"^ *```sh {re.escape(name)}\n(.*?)^ *```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(found) == 1, f"{len(found)} blocks {name}"
    return str(found[0])


def follow(machine: Machine, *names: str) -> None:
    """Do on a machine what the guide says; the checkout is at /checkout there."""
    for name in names:
        machine.run("sh", "-euc", "cd /checkout\n" + commands(name))
