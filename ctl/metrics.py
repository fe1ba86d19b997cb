"""Metrics of a bus as text: OpenMetrics, or the older format of Prometheus for the textfile collector.

Never one per connection or unique name, which come without end: what belongs to a connection is summed up by
user, or by unit for those that ask, or the greatest is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..openmetrics import CONTENT_OF, Family, text_of
from .connection import Connection
from .live import Live
from .verbs.pending import calls_of

__all__ = ["CONTENT_OF", "families", "of_absent_bus", "text_of"]

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
# Name and help of gauges of a user, and the field of a connection.
OF_USERS: Final = {
    "omnibus_user_queued_bytes": ("bytes that wait for connections of a user", "queued_bytes"),
    "omnibus_user_queued_fds": ("descriptors that wait for connections of a user", "queued_fds"),
    "omnibus_user_incoming_bytes": ("bytes of a user that others have not read", "incoming_bytes"),
    "omnibus_user_incoming_fds": ("descriptors of a user that others have not read", "incoming_fds"),
    "omnibus_user_parked_messages": ("messages of a user that wait for a service to start", "parked"),
}
OF_UNITS: Final = {
    "omnibus_unit_queued_bytes": ("bytes that wait for connections of a unit", "queued_bytes"),
    "omnibus_unit_incoming_bytes": ("bytes of a unit that others have not read", "incoming_bytes"),
    "omnibus_unit_pending_calls": ("calls of a unit without a reply", "calls"),
    "omnibus_unit_match_rules": ("match rules of a unit", "rules"),
}
LABELS: Final = {"user": "uid", "unit": "unit"}
MOST_UNITS: Final = 50
NO_UNIT: Final = "none"
OTHER_UNITS: Final = "others"
LIMITS: Final = {
    "omnibus_connections_limit": ("max_completed_connections", "the most connections"),
    "omnibus_incomplete_connections_limit": (
        "max_incomplete_connections",
        "the most connections that have not said Hello",
    ),
    "omnibus_user_connections_limit": ("max_connections_per_user", "the most connections of a user"),
    "omnibus_queue_limit_bytes": ("max_outgoing_bytes", "the most bytes that wait for a connection"),
    "omnibus_queue_limit_fds": ("max_outgoing_unix_fds", "the most descriptors that wait for a connection"),
    "omnibus_incoming_limit_bytes": ("max_incoming_bytes", "the most bytes of a connection on their way"),
    "omnibus_incoming_limit_fds": (
        "max_incoming_unix_fds",
        "the most descriptors of a connection on their way",
    ),
    "omnibus_starts_limit": ("max_pending_service_starts", "the most parties that wait for starts"),
}


def of_absent_bus() -> list[Family]:
    """Return what is known of a bus that does not answer or takes no more connections."""
    return [_one("dbus_up", "1 if the bus has answered", 0)]


def families(live: Live, *, with_units: bool = False) -> list[Family]:
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
    found += _of_units(connections) if with_units else []
    if live.status is not None:
        found += _inspected(live, live.status, connections)
    return found


Sums = dict[str, dict[str, float]]
"""By the field of a connection and a label; "" counts connections. What is unknown is not in it."""


def _sums(
    connections: Iterable[Connection], fields: Iterable[str], label: Callable[[Connection], str]
) -> Sums:
    found: Sums = {"": {}, **{field: {} for field in fields}}
    for one in connections:
        key = label(one)
        for field, sums in found.items():
            value = getattr(one, field) if field else 1
            if value is not None:
                sums[key] = sums.get(key, 0) + value
    return found


def _families_of(sums: Sums, label: str, texts: Mapping[str, tuple[str, str]]) -> list[Family]:
    found = [_by(f"omnibus_{label}_connections", f"connections of a {label}", LABELS[label], sums[""])]
    return found + [
        _by(name, text, LABELS[label], sums[field]) for name, (text, field) in texts.items() if sums[field]
    ]


def _of_users(connections: Iterable[Connection]) -> list[Family]:
    fields = [field for _, field in OF_USERS.values()]
    sums = _sums(connections, fields, lambda one: "unknown" if one.uid is None else str(one.uid))
    return _families_of(sums, "user", OF_USERS)


def _of_units(connections: Iterable[Connection]) -> list[Family]:
    """Return sums by unit: of the MOST_UNITS that have the greatest part of anything, and of all others."""
    fields = [field for _, field in OF_UNITS.values()]
    # Units of a user's manager count as the manager, or each program that a user starts would be another one.
    every = _sums(connections, fields, lambda one: (one.unit or NO_UNIT).partition("/")[0])

    def part(unit: str) -> float:
        return max(sums.get(unit, 0) / max(1, sum(sums.values())) for sums in every.values())

    shown = set(sorted(every[""], key=lambda unit: (-part(unit), unit))[:MOST_UNITS])
    sums: Sums = {field: {} for field in every}
    for field, of_field in every.items():
        for unit, value in of_field.items():
            key = unit if unit in shown else OTHER_UNITS
            sums[field][key] = sums[field].get(key, 0) + value
    return _families_of(sums, "unit", OF_UNITS)


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
        _one("omnibus_config_warnings", "warnings about the configuration", len(status["Warnings"])),
        _one("omnibus_config_loaded_timestamp_seconds", "when it was loaded", status["LoadedAt"] / 1e6),
    ]
    # A bus that is yet to be upgraded may count less than this program knows.
    if "Opened" in status:
        found.append(
            _one("omnibus_connections_opened", "connections after Hello", status["Opened"], "counter")
        )
    counted = {"done": "StartsDone", "failed": "StartsFailed"}
    starts_ended = {result: status[key] for result, key in counted.items() if key in status}
    found.append(_by("omnibus_starts", "starts that have ended", "result", starts_ended, "counter"))
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
