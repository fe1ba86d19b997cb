"""The blocks of commands in docs/using, for tests to run as they are."""

from __future__ import annotations

import re
from pathlib import Path

from support.machine import Machine

CHECKOUT = Path(__file__).parent.parent.parent
PAGES = sorted(CHECKOUT.glob("docs/using/*.md"))


def commands(name: str) -> str:
    """Return the named block of commands: the text between ```sh name and the next ```."""
    text = "".join(page.read_text() for page in PAGES)
    found = re.findall(rf"^ *```sh {re.escape(name)}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{len(found)} blocks {name}"
    return str(found[0])


def follow(machine: Machine, *names: str) -> None:
    """Run the guide's commands on a machine, which has the checkout at /checkout."""
    for name in names:
        machine.run("sh", "-euc", "cd /checkout\n" + commands(name))
