"""Direct delivery through the kernel, and what came to the bus all the same (omnibusd only)."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from ..exits import YES
from ..live import Live
from ..output import escape

if TYPE_CHECKING:
    from ..buses import Target

REASONS: Final = {
    "dirty": "an earlier message of the sender is still with the bus",
    "verdict": "the sender's filter: policy, name or type of the message",
    "ingress": "the filter of a receiver: its match rules or policy",
    "rest": "the filter for receivers that are no members",
    "control": "descriptors or other control data",
    "size": "it is too large for one delivery",
    "full": "the queue of a receiver is full",
    "held": "a receiver is stopped by the bus",
    "busy": "another CPU delivers to the same receivers",
    "gate": "a monitor is there, or another SELinux policy",
    "dead": "a receiver is no member, or has gone",
    "reply": "a reply to a call that the kernel does not know, or a call beyond the limit",
    "credentials": "a receiver wants the sender's credentials with each message",
    "fault": "the sender's memory can't be read",
    "memory": "there is no memory",
    "budget": "filters would have taken too long",
    "stamp": "there is no room for the name of the sender",
    "security": "a security module objects",
    "shutdown": "the sender's connection ends",
    "context": "it was sent from a context in which filters can't run",
}
"""Of <linux/unix_multicast.h>."""


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
    asked = sorted(((reason, n) for reason, n in found["Asked"].items() if n), key=lambda one: -one[1])
    if asked:
        output.line("messages of members that came to the bus:")
        rows = ((n, reason, REASONS.get(reason)) for reason, n in asked)
        output.table((">MESSAGES", "REASON", "MEANING"), rows)
    return YES
