"""What a link counts for each direction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counters:
    """Numbers since the start, of one host as seen on one bus."""

    links: int = 0
    sent: int = 0
    received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    denied: int = 0
    refused: int = 0
    lost: int = 0
    widened: int = 0
    ended: int = 0
    violations: int = 0


METRICS = {
    "links": ("omnibus_links", "how often the host was linked"),
    "sent": ("omnibus_link_sent", "messages to the other host"),
    "received": ("omnibus_link_received", "messages from the other host"),
    "bytes_sent": ("omnibus_link_bytes_sent", "bytes of messages to the other host"),
    "bytes_received": ("omnibus_link_bytes_received", "bytes of messages from the other host"),
    "denied": ("omnibus_link_denied", "messages that the export list or a missing call denied"),
    "refused": ("omnibus_link_refused", "messages refused by a limit"),
    "lost": ("omnibus_link_lost", "stand-ins that the bus has ended or refused"),
    "widened": ("omnibus_link_widened", "clients with too many rules, which get all signals of their names"),
    "ended": ("omnibus_link_ended", "how often the host was lost"),
    "violations": ("omnibus_link_violations", "how often the host was cut off because of what it sent"),
}
"""Name and help of the metric of each counter."""
