"""Direct delivery through the kernel, and what came to the bus all the same (omnibusd only)."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ..exits import YES
from ..live import Live
from ..output import escape

if TYPE_CHECKING:
    from ..buses import Target


def arguments(parser: ArgumentParser) -> None:
    """There are no options."""


def run(target: Target, options: Namespace) -> int:
    """Print it; return YES."""
    found = Live(target).inspect("Group")
    output = target.output
    if output.as_json:
        output.json(
            {
                "way": found["Way"],
                "members": found["Members"],
                "direct_messages": found["DirectMessages"],
                "direct_deliveries": found["DirectDeliveries"],
                "direct_spills": found["DirectSpills"],
                "asked": found["Asked"],
            }
        )
        return YES
    output.line(f"messages go {escape(found['Way'])}")
    output.line(
        f"{found['Members']} members; direct: {found['DirectMessages']} messages,"
        f" {found['DirectDeliveries']} deliveries, {found['DirectSpills']} of them finished by the bus"
    )
    asked = sorted(found["Asked"].items(), key=lambda one: -one[1])
    if asked:
        output.line("messages of members that came to the bus:")
        output.table((">MESSAGES", "REASON"), ((count, reason) for reason, count in asked))
    return YES
