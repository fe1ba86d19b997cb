"""Metrics of a bus as text: OpenMetrics, or the older format of Prometheus for the textfile collector.

Never one per connection or unique name, which come without end: what belongs to a connection is summed up by
user, or the greatest is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..record import Record
from .connection import Connection
from .live import Live
from .verbs.pending import calls_of

CONTENT_OF: Final = ("openmetrics", "prometheus")


class Family(Record):
    """A metric: its name without _total, its type, a help text, and its samples by labels besides ``bus``."""

    name: str
    type: str
    help: str
    samples: tuple[tuple[dict[str, str], float], ...]


# Name and help of counters, and the key of GetStats.
COUNTERS: Final = {
    "omnibus_messages_received": ("messages from connections", "omnibus.MessagesReceived"),
    "omnibus_messages_sent": ("messages to connections", "omnibus.MessagesSent"),
    "omnibus_messages_denied": ("messages that the policy denied", "omnibus.MessagesDenied"),
    "omnibus_messages_refused": ("messages refused for a full receiver", "omnibus.MessagesRefused"),
    "omnibus_messages_direct": ("messages that went directly", "omnibus.DirectMessages"),
    "omnibus_broadcasts": ("messages compared with match rules", "omnibus.Broadcasts"),
    "omnibus_bytes_received": ("bytes from connections", "omnibus.BytesReceived"),
    "omnibus_bytes_sent": ("bytes to connections", "omnibus.BytesSent"),
    "omnibus_monitor_missed": (
        "messages dropped for monitors that do not read",
        "omnibus.MonitorMessagesMissed",
    ),
    "omnibus_wakeups": ("wake-ups of the data plane", "omnibus.WakeUps"),
}
GAUGES: Final = {
    "dbus_incomplete_connections": ("connections that have not said Hello", "IncompleteConnections"),
    "dbus_match_rules": ("match rules", "MatchRules"),
    "omnibus_pending_calls": ("calls without a reply", "omnibus.PendingReplies"),
    "omnibus_parked_messages": ("messages that wait for a service to start", "omnibus.MessagesParked"),
    "omnibus_monitors": ("monitors", "omnibus.Monitors"),
    "omnibus_group_members": ("connections that can send directly", "omnibus.Members"),
}
LIMITS: Final = {
    "omnibus_connections_limit": ("max_completed_connections", "the most connections"),
    "omnibus_user_connections_limit": ("max_connections_per_user", "the most connections of a user"),
    "omnibus_queue_limit_bytes": ("max_outgoing_bytes", "the most bytes that wait for a connection"),
    "omnibus_starts_limit": ("max_pending_service_starts", "the most parties that wait for starts"),
}


def of_absent_bus() -> list[Family]:
    """Return what is known of a bus that does not answer or takes no more connections."""
    return [_one("dbus_up", "1 if the bus has answered", 0)]


def families(live: Live) -> list[Family]:
    """Return all metrics that the bus tells; raises Stop."""
    connections = live.connections()
    names = live.queues()
    found = [
        _one("dbus_up", "1 if the bus has answered", 1),
        _one("dbus_connections", "connections", len(connections)),
        _one("dbus_names", "well-known names that have an owner", len(names)),
    ]
    totals = live.totals() or {}
    found += [_one(name, text, totals[key]) for name, (text, key) in GAUGES.items() if key in totals]
    found += [
        _one(name, text, totals[key], "counter") for name, (text, key) in COUNTERS.items() if key in totals
    ]
    asked = totals.get("omnibus.DirectAsked")
    if asked:
        text = "messages of members that came to the bus all the same"
        found.append(_by("omnibus_group_asked", text, "reason", asked, "counter"))
    found += _of_users(connections)
    if live.status is not None:
        found += _inspected(live, live.status, connections)
    return found


def _of_users(connections: Iterable[Connection]) -> list[Family]:
    counts: dict[str, float] = {}
    queued: dict[str, float] = {}
    for one in connections:
        uid = "unknown" if one.uid is None else str(one.uid)
        counts[uid] = counts.get(uid, 0) + 1
        if one.queued_bytes is not None:
            queued[uid] = queued.get(uid, 0) + one.queued_bytes
    found = [_by("omnibus_user_connections", "connections of a user", "uid", counts)]
    if queued:
        text = "bytes that wait for connections of a user"
        found.append(_by("omnibus_user_queued_bytes", text, "uid", queued))
    return found


def _inspected(live: Live, status: Mapping[str, Any], connections: Iterable[Connection]) -> list[Family]:
    connections = list(connections)
    paused = sum(bool(one.paused) for one in connections)
    unread = [one.unread or 0 for one in connections if one.stalled]
    calls = [call["age_us"] for call in calls_of(live, 0) if call["age_us"] is not None]
    starts = [row["Age"] for row in live.inspect("ListStarts") if row["State"] == "starting"]
    found = [
        _one("omnibus_stalled_connections", "connections that do not read", len(unread)),
        _one("omnibus_paused_connections", "connections not read from", paused),
        _seconds("omnibus_oldest_stall_seconds", "how long a connection has not read", unread),
        _seconds("omnibus_oldest_pending_call_seconds", "how long a call waits for its reply", calls),
        _one("omnibus_starts_running", "services being started", len(starts)),
        _seconds("omnibus_oldest_start_seconds", "how long a service is being started", starts),
        _one("omnibus_starts_failed", "failed starts", status["StartsFailed"], "counter"),
        _one("omnibus_config_warnings", "warnings about the configuration", len(status["Warnings"])),
        _one("omnibus_config_loaded_timestamp_seconds", "when it was loaded", status["LoadedAt"] / 1e6),
    ]
    reloads = {"done": status["Reloads"], "failed": status["ReloadsFailed"]}
    found.append(_by("omnibus_reloads", "reloads of the configuration", "result", reloads, "counter"))
    closed = status["Closed"]
    if closed:
        text = "connections that have ended"
        found.append(_by("omnibus_connections_closed", text, "reason", closed, "counter"))
    limits = status["Limits"]
    return [*found, *(_one(name, text, limits[limit]) for name, (limit, text) in LIMITS.items())]


def _one(name: str, text: str, value: float, kind: str = "gauge") -> Family:
    return Family(name, kind, text, (({}, value),))


def _by(name: str, text: str, label: str, values: Mapping[str, float], kind: str = "gauge") -> Family:
    return Family(name, kind, text, tuple(({label: key}, value) for key, value in sorted(values.items())))


def _seconds(name: str, text: str, microseconds: Iterable[int]) -> Family:
    return _one(name, f"{text}, the longest", max(microseconds, default=0) / 1e6)


def text_of(found: Iterable[Family], bus: str, form: str) -> str:
    """Return the text in one of the two formats.

    They differ in the name of a counter in TYPE and HELP, without which the textfile collector takes it for
    untyped, and in the end.
    """
    lines = []
    for family in found:
        suffix = "_total" if family.type == "counter" else ""
        head = family.name + (suffix if form == "prometheus" else "")
        lines += [f"# TYPE {head} {family.type}", f"# HELP {head} {family.help}"]
        for labels, value in family.samples:
            pairs = ",".join(f'{key}="{_escape(one)}"' for key, one in {"bus": bus, **labels}.items())
            lines.append(f"{family.name}{suffix}{{{pairs}}} {_number(value)}")
    if form == "openmetrics":
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
