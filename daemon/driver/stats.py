"""org.freedesktop.DBus.Debug.Stats: the counters of the bus.

Keys with a dot are omnibus's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...transport.relay import Table
from .. import errors
from ..codec import Variant, make_body
from ..errors import DBusError
from .method import BUS_NAME, Call, Interface, Method

if TYPE_CHECKING:
    from ..bus import Bus

UINT32_MAX: Final = 2**32 - 1
MAX_ARRAY: Final = 2**26  # bytes; specification: "Summary of types"
RULES_AT_ONCE: Final = 500
"""The approximate number of match rules exported in one step, during which no message is routed."""

# The key in the reply, and the name of the counter in the data plane.
TOTALS: Final = {
    "ListMemPoolUsedBytes": "cells_used_bytes",
    "ListMemPoolAllocatedBytes": "cells_bytes",
    "ActiveConnections": "active",
    "MatchRules": "matches",
    "PeakMatchRules": "peak_matches",
    "PeakMatchRulesPerConnection": "peak_matches_of_one",
    "BusNames": "claims",
    "PeakBusNames": "peak_claims",
    "PeakBusNamesPerConnection": "peak_claims_of_one",
}
OWN_TOTALS: Final = {
    "omnibus.MessagesReceived": "messages_in",
    "omnibus.MessagesSent": "messages_out",
    "omnibus.BytesReceived": "bytes_in",
    "omnibus.BytesSent": "bytes_out",
    "omnibus.Broadcasts": "broadcasts",
    "omnibus.MessagesRefused": "refused",
    "omnibus.MessagesDenied": "denied",
    "omnibus.MessagesParked": "parked",
    "omnibus.PendingReplies": "replies",
    "omnibus.Monitors": "monitors",
    "omnibus.MonitorQueuedBytes": "monitor_bytes",
    "omnibus.MonitorMessagesMissed": "missed",
    "omnibus.WakeUps": "wakeups",
    "omnibus.SendCalls": "sends",
    "omnibus.ReceiveCalls": "receives",
    "omnibus.Members": "members",
    "omnibus.DirectMessages": "direct",
    "omnibus.DirectDeliveries": "direct_deliveries",
    "omnibus.DirectSpills": "spilled",
}
CONNECTION: Final = {
    "MatchRules": "matches",
    "PeakMatchRules": "peak_matches",
    "BusNames": "claims",
    "PeakBusNames": "peak_claims",
    "IncomingMessages": "incoming_messages",
    "IncomingBytes": "incoming_bytes",
    "IncomingFDs": "incoming_fds",
    "PeakIncomingBytes": "peak_incoming_bytes",
    "PeakIncomingFDs": "peak_incoming_fds",
    "OutgoingMessages": "outgoing_messages",
    "OutgoingBytes": "outgoing_bytes",
    "OutgoingFDs": "outgoing_fds",
    "PeakOutgoingBytes": "peak_outgoing_bytes",
    "PeakOutgoingFDs": "peak_outgoing_fds",
}
OWN_CONNECTION: Final = {
    "omnibus.MessagesReceived": "messages_in",
    "omnibus.MessagesSent": "messages_out",
    "omnibus.BytesReceived": "bytes_in",
    "omnibus.BytesSent": "bytes_out",
    "omnibus.MessagesRefused": "refused",
    "omnibus.MessagesParked": "parked",
    "omnibus.PendingReplies": "calls",
    "omnibus.DirectMessagesReceived": "direct_in",
    "omnibus.DirectMessagesSent": "direct_out",
}
OWN_CONNECTION_STATES: Final = {
    "omnibus.Paused": "paused",
    "omnibus.Stalled": "stalled",
}


def get_stats(bus: Bus, call: Call) -> None:
    """GetStats() → a{sv}: the whole bus."""

    def answer(totals: Any) -> None:
        stats = {"Serial": _uint32(bus.statistics.bus_replies)}
        bus.statistics.bus_replies += 1
        stats |= take(totals, TOTALS, _uint32)
        stats["ListMemPoolCachedBytes"] = _uint32(totals["cells_bytes"] - totals["cells_used_bytes"])
        stats["IncompleteConnections"] = _uint32(bus.relay.incomplete())
        stats |= take(totals, OWN_TOTALS, uint64)
        stats["omnibus.Multicast"] = Variant("s", bus.statistics.way)
        stats["omnibus.DirectAsked"] = Variant("a{st}", totals["asked"])
        call.reply(stats)

    bus.statistics.ask(call, Table.TOTALS, answer)


def get_connection_stats(bus: Bus, call: Call) -> None:
    """GetConnectionStats(s name) → a{sv}: one connection."""
    name: str = call.args[0]
    if name == BUS_NAME:
        raise DBusError(
            errors.INVALID_ARGS,
            f'GetConnectionStats is not meaningful for the message bus "{BUS_NAME}" itself',
        )
    no_such_name = DBusError(
        errors.NAME_HAS_NO_OWNER, f"Could not get statistics of name '{name}': no such name"
    )
    owner = bus.owner(name)
    if owner is None:
        raise no_such_name
    unique_name = owner.unique_name

    def answer(connections: Any) -> None:
        if not connections:
            raise no_such_name
        (connection,) = connections
        stats = {
            "Serial": _uint32(bus.statistics.connection_replies),
            "UniqueName": Variant("s", unique_name),
        }
        bus.statistics.connection_replies += 1
        stats |= take(connection, CONNECTION, _uint32)
        stats |= take(connection, OWN_CONNECTION, uint64)
        stats |= take(connection, OWN_CONNECTION_STATES, lambda value: Variant("b", value))
        call.reply(stats)

    bus.statistics.ask(call, Table.CONNECTIONS, answer, (owner.id,))


def get_all_match_rules(bus: Bus, call: Call) -> None:
    """GetAllMatchRules() → a{sas}: the rules of every unique name, with or without rules."""
    AllMatchRules(bus, call).ask()


class AllMatchRules:
    """Requests the rules of a few connections at a time, fewer if they have many."""

    def __init__(self, bus: Bus, call: Call) -> None:
        self._bus = bus
        self._call = call
        self._peers = [peer.id for peer in bus.peers if peer.active and not peer.monitor]
        self._at = 0
        self._at_once = 16
        self._entries = bytearray()

    def ask(self) -> None:
        """Request the next part, or answer the call if there is none."""
        peers = self._peers[self._at : self._at + self._at_once]
        if peers:
            self._at += len(peers)
            self._bus.statistics.ask(self._call, Table.MATCHES, self._add, peers)
            return
        head = len(self._entries).to_bytes(4, "little") + bytes(4)
        self._call.reply_body(head + bytes(self._entries))

    def _add(self, rules: Any) -> None:
        self._entries += bytes(-len(self._entries) % 8)
        # Without the length of the array and its padding.
        self._entries += make_body("a{sas}", (rules,))[8:]
        if len(self._entries) > MAX_ARRAY:
            raise DBusError(errors.LIMITS_EXCEEDED, "There are more match rules than a message can hold")
        found = sum(len(one) for one in rules.values())
        self._at_once = max(1, min(256, self._at_once * RULES_AT_ONCE // max(1, found)))
        self.ask()


def take(
    table: Mapping[str, Any], keys: Mapping[str, str], make: Callable[[Any], Variant]
) -> dict[str, Variant]:
    """Return the columns of a table by their keys in a reply."""
    return {key: make(table[column]) for key, column in keys.items()}


def _uint32(value: int) -> Variant:
    return Variant("u", min(value, UINT32_MAX))


def uint64(value: int) -> Variant:
    """Return a counter."""
    return Variant("t", value)


STATS: Final = Interface(
    "org.freedesktop.DBus.Debug.Stats",
    (
        Method("GetStats", "", "a{sv}", get_stats, any_path=False, no_containers=True, before_hello=True),
        Method("GetConnectionStats", "s", "a{sv}", get_connection_stats, any_path=False, no_containers=True),
        Method(
            "GetAllMatchRules",
            "",
            "a{sas}",
            get_all_match_rules,
            any_path=False,
            no_containers=True,
            before_hello=True,
        ),
    ),
    any_path=False,
    listed=True,
)
