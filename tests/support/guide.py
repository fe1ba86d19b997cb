"""The blocks of commands in docs/using, for tests to run as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from support.machine import Machine

CHECKOUT = Path(__file__).parent.parent.parent
PAGES = sorted(CHECKOUT.glob("docs/using/*.md"))


class Block(NamedTuple):
    """A block of commands, with the heading that it is under."""

    section: str
    name: str
    text: str


LINES = re.compile(r"^## (?P<section>.*)$|^ *```sh ?(?P<name>.*)\n(?P<text>(?:.*\n)*?)^ *```$", re.MULTILINE)


def blocks(page: Path) -> list[Block]:
    """Return a page's blocks of commands in their order; the name stands behind the language."""
    found = []
    section = ""
    for match in LINES.finditer(page.read_text()):
        section = match["section"] or section
        if match["text"] is not None:
            found.append(Block(section, match["name"], match["text"]))
    return found


def commands(name: str) -> str:
    """Return the named block of commands of any page."""
    found = [block.text for page in PAGES for block in blocks(page) if block.name == name]
    assert len(found) == 1, f"{len(found)} blocks {name}"
    return found[0]


def follow(machine: Machine, *names: str) -> None:
    """Run the guide's commands on a machine, which has the checkout at /checkout."""
    for name in names:
        machine.run("sh", "-euc", "cd /checkout\n" + commands(name))
