# SPDX-License-Identifier: MIT
"""The states that a run reaches, and those that it has to reach."""

from __future__ import annotations

from collections import Counter

# Seconds after which a run must have been in each state at least once, on a machine with other work to do.
# Half a minute of `make test` plays one episode of each kind.
DUE = {
    "connected": 10,
    "closed during the handshake": 25,
    "Hello refused (connection limits)": 300,
    "messages received": 10,
    "calls answered by peers": 25,
    "calls answered by the bus": 25,
    "broadcasts received": 25,
    "messages of unknown types": 25,
    "messages seen by eavesdroppers and monitors": 300,
    "monitors": 300,
    "descriptors received": 25,
    "descriptors of two messages sent together": 300,
    "closed with descriptors of a half message": 25,
    "closed within a message": 25,
    "client processes killed": 25,
    "shut down for writing": 25,
    "client's socket full": 25,
    "clients cut off by the bus": 25,
    "clients that broke the protocol": 25,
    "seen paused": 300,
    "seen stalled": 300,
    "seen with a queue": 300,
    "seen with parked messages": 300,
    "refused: full queue": 25,
    "refused: max_replies_per_connection": 300,
    "refused: max_match_rules_per_connection": 300,
    "refused: max_names_per_connection": 300,
    "refused: max_pending_service_starts": 300,
    "denied by the policy": 25,
    "refused: receiver takes no descriptors": 300,
    "NoReply: callee gone or reply_timeout": 25,
    "no such name": 25,
    "calls answered by started services": 300,
    "service failed to start": 300,
    "service start timed out": 300,
    "names acquired": 25,
    "names lost": 300,
    "queued for a name": 300,
    "match rules added": 25,
    "match rules removed": 25,
    "container servers": 300,
    "connections of containers": 300,
    "messages with an instance": 300,
    "configuration reloaded": 300,
    "log: queue full, messages refused": 300,
    "log: stuck, disconnected": 3600,
    "log: descriptors waited too long": 3600,
    "log: invalid message": 300,
    "log: claims descriptors": 300,
    "log: denied": 300,
}


def table(reached: Counter[str]) -> str:
    """Return the table as text."""
    return "\n".join(f"{name:52} {n:14,}" for name, n in reached.items())


def missing(reached: Counter[str], seconds: float) -> list[str]:
    """Return the states that are due and were never reached."""
    return [name for name, due in DUE.items() if seconds >= due and not reached[name]]
