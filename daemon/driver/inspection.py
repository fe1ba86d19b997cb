"""org.omnibus.Inspect1: what omnibusctl shows of a bus, on the bus's own path alone.

Every member is for root and the bus's own user, whatever the policy says, since each shows what the policy
may keep from others. All but Trace are answered before Hello, too, since a full bus refuses that, and then
they are needed most. Times are microseconds of CLOCK_REALTIME, ages microseconds; a key whose value is
unknown is left out. Properties would not do: those of the driver are constant, and the data plane answers
them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from ... import __version__
from ...transport.relay import BROADCAST, Question, Table
from ...transport.relay.message import SIGNAL
from .. import errors
from ..codec import Variant
from ..errors import DBusError
from .method import BUS_NAME, Call, Interface, Method, Reply, Signal
from .monitoring import watch
from .stats import CONNECTION, OWN_CONNECTION, OWN_CONNECTION_STATES, take, uint64

if TYPE_CHECKING:
    from ..activation.start import Start
    from ..bus import Bus
    from ..history import Denial, FailedStart, GoneConnection
    from ..peers import Peer

INSPECT_NAME: Final = "org.omnibus.Inspect1"
AT_ONCE: Final = 64
"""Connections in one answer, for which the data plane needs some 0.2 ms in one stretch."""
MAX_CALLS: Final = 10_000
UNKNOWN_AGE: Final = 2**64 - 1

Values = dict[str, Variant]


def get_status(bus: Bus, call: Call) -> Reply:
    """GetStatus() → a{sv}: version, process, configuration and limits."""
    settings = bus.settings
    warnings = [[one.file, one.line, one.reason] for one in settings.warnings]
    limits = dict(vars(settings.limits))
    return Reply(
        (
            {
                "Version": Variant("s", __version__),
                "ProcessID": Variant("u", os.getpid()),
                "Type": Variant("s", settings.bus_type or ""),
                "Way": Variant("s", bus.statistics.way),
                "Mediation": Variant("as", [one.name or "" for one in bus.relay.mediated]),
                "Files": Variant("as", list(settings.files)),
                "LoadedAt": _time(bus.loaded_at),
                "Warnings": Variant("a(sus)", warnings),
                "Limits": Variant("a{sx}", limits),
                "ServiceHelper": Variant("b", bus.is_system),
                "SystemdActivation": Variant("b", bus.systemd_activation),
                "Opened": uint64(bus.history.n_opened),
                "StartsDone": uint64(bus.history.n_starts_done),
                "StartsFailed": uint64(bus.history.n_starts_failed),
                "Reloads": uint64(bus.history.n_reloads),
                "ReloadsFailed": uint64(bus.history.n_reloads_failed),
                "Closed": Variant("a{st}", dict(bus.history.lost)),
            },
        )
    )


def list_connections(bus: Bus, call: Call) -> None:
    """ListConnections(t first, u max) → aa{sv}: connections by their numbers, from ``first`` on.

    At most AT_ONCE, or ``max`` if that is fewer; an empty answer is the end.
    """
    first, most = call.args
    ids = sorted(peer.id for peer in bus.peers if peer.id >= first)[: min(most, AT_ONCE)]
    if not ids:
        call.reply([])
        return

    def answer(rows: Any) -> None:
        names = bus.names.requests()
        found = [_connection(bus, row, names) for row in rows if bus.peers.get(row["id"]) is not None]
        call.reply(found)

    bus.statistics.ask(call, Table.CONNECTIONS, answer, ids)


def _connection(bus: Bus, row: dict[str, Any], names: dict[int, list[str]]) -> Values:
    peer = bus.peers[row["id"]]
    unread = {"Unread": Variant("t", row["unread"] * 1000)} if "unread" in row else {}
    owned = [name for name in names.get(peer.id, ()) if bus.names.owner(name) == peer.id]
    return (
        _who(peer)
        | unread
        | {
            "Id": Variant("t", peer.id),
            "Names": Variant("as", owned),
            "Active": Variant("b", peer.active),
            "Monitor": Variant("b", peer.monitor),
            "Age": Variant("t", _microseconds(time.monotonic() - peer.since)),
        }
        | take(row, CONNECTION, uint64)
        | take(row, OWN_CONNECTION, uint64)
        | take(row, OWN_CONNECTION_STATES, lambda value: Variant("b", value))
    )


def _who(peer: Peer) -> Values:
    """Return what is known of the process."""
    who = peer.credentials
    found = {"UniqueName": Variant("s", peer.unique_name), "Login": Variant("s", who.loginfo)}
    if who.uid is not None:
        found["UnixUserID"] = Variant("u", who.uid)
    if who.pid is not None:
        found["ProcessID"] = Variant("u", who.pid)
    return found


def list_queues(bus: Bus, call: Call) -> None:
    """ListQueues() → a{sas}: unique names for each well-known name, the owner first."""

    def answer(_: Any) -> None:
        call.reply(
            {name: [bus.peers[peer].unique_name for peer in bus.names.queue(name)] for name in bus.names}
        )

    # With the table all changes before it have come.
    bus.statistics.ask(call, Table.TOTALS, answer)


def list_pending_calls(bus: Bus, call: Call) -> None:
    """ListPendingCalls(t min_age) → a(ssut): caller, callee, serial and age, the oldest first.

    Ages of calls from before an upgrade are UNKNOWN_AGE. Calls that went directly are not among them.
    """
    (least,) = call.args

    def answer(rows: Any) -> None:
        found = []
        for row in rows:
            caller, callee = bus.peers.get(row["caller"]), bus.peers.get(row["callee"])
            age = row["age"] * 1000 if "age" in row else UNKNOWN_AGE
            if caller is not None and callee is not None and age >= least:
                found.append([caller.unique_name, callee.unique_name, row["serial"], age])
        found.sort(key=lambda one: -one[3])
        call.reply(found[:MAX_CALLS])

    bus.statistics.ask(call, Table.REPLIES, answer)


def list_starts(bus: Bus, call: Call) -> Reply:
    """ListStarts() → aa{sv}: starts in progress, then the latest failures, the oldest first."""
    running = [_start(bus, start) for start in bus.activation.starts]
    return Reply(([*running, *map(_failure, bus.history.failures)],))


def _start(bus: Bus, start: Start) -> Values:
    timeout = bus.limits.service_start_timeout / 1000
    waiting: list[str] = []
    for waiter in (*start.waiters, *start.unjudged):
        waiting.append("" if waiter.peer is None else waiter.peer.unique_name)
    found = {
        "State": Variant("s", "starting"),
        "Name": Variant("s", start.name),
        "Exec": Variant("s", start.exec or ""),
        "Unit": Variant("s", start.unit or ""),
        "Age": Variant("t", _microseconds(timeout - (start.deadline - time.monotonic()))),
        "Timeout": Variant("t", _microseconds(timeout)),
        "Waiting": Variant("as", waiting),
    }
    if start.child is not None and start.child.pid is not None:
        found["ProcessID"] = Variant("u", start.child.pid)
    return found


def _failure(one: FailedStart) -> Values:
    return {
        "State": Variant("s", "failed"),
        "Name": Variant("s", one.name),
        "Exec": Variant("s", one.exec),
        "Unit": Variant("s", one.unit),
        "Time": _time(one.realtime),
        "RequestedBy": Variant("s", one.requested_by),
        "Login": Variant("s", one.loginfo),
        "ErrorName": Variant("s", one.error),
        "ErrorText": Variant("s", one.text),
    }


def denials(bus: Bus, call: Call) -> Reply:
    """Denials(t since) → aa{sv}: the latest messages that the policy has denied, the oldest first."""
    (since,) = call.args
    return Reply(([_denial(one) for one in _after(bus.history.denials, since)],))


def _denial(one: Denial) -> Values:
    return {
        "Time": _time(one.realtime),
        "Text": Variant("s", one.text),
        "Sender": Variant("s", one.sender or ""),
        "Destination": Variant("s", one.destination),
        "File": Variant("s", one.file),
        "Line": Variant("u", one.line if one.file else 0),
    }


def gone(bus: Bus, call: Call) -> Reply:
    """Gone(t since) → aa{sv}: the latest connections that have ended, the oldest first.

    A connection that comes and goes before the control plane looks is not among them.
    """
    (since,) = call.args
    return Reply(([_gone(one) for one in _after(bus.history.gone, since)],))


def _gone(one: GoneConnection) -> Values:
    found = {
        "Time": _time(one.realtime),
        "UniqueName": Variant("s", one.name),
        "Login": Variant("s", one.loginfo),
        "Reason": Variant("s", one.reason),
        "Lifetime": Variant("t", _microseconds(one.lifetime)),
    }
    if one.uid is not None:
        found["UnixUserID"] = Variant("u", one.uid)
    if one.pid is not None:
        found["ProcessID"] = Variant("u", one.pid)
    return found


def get_policy(bus: Bus, call: Call) -> Reply:
    """GetPolicy() → ay: the rules in force, as ``policy/block.py`` reads them.

    The reader evaluates them, so no question about the policy costs the bus anything.
    """
    return Reply((bus.settings.policy,))


def mediation(bus: Bus, call: Call) -> None:
    """Mediation(s sender, s receiver, u type, b requested, a{ss} fields) → aa{sv}: what the modules say.

    Of a message with these header fields by their names; type 0: of owning the name ``destination``. A
    receiver that has no owner is one yet to be started; none: the bus. There is an element for each question
    to a module, and nothing is recorded.
    """
    sender, receiver, type_, requested, fields = call.args
    asker, owner = bus.owner(sender), bus.owner(receiver)
    if asker is None:
        raise DBusError(errors.NAME_HAS_NO_OWNER, f"No connection has the name '{sender}'")
    if type_ > SIGNAL:
        raise DBusError(errors.INVALID_ARGS, f"No message has the type {type_}")
    texts = {key: fields.get(key) for key in ("path", "interface", "member", "error_name")}
    question = Question(
        asker.id,
        BROADCAST if owner is None else owner.id,
        type_,
        requested,
        fields.get("destination", BUS_NAME),
        **texts,
    )

    def answer(rows: Any) -> None:
        call.reply([_opinion(row) for row in rows])

    bus.statistics.explain(call, question, answer)


def _opinion(row: dict[str, Any]) -> Values:
    names = {"module": "Module", "permission": "Permission", "label": "Label", "peer_label": "PeerLabel"}
    names["error"] = "Error"
    found = {name: Variant("s", row[key]) for key, name in names.items() if key in row}
    return found | {"Allowed": Variant("b", row["allowed"])}


def group(bus: Bus, call: Call) -> None:
    """Group() → a{sv}: direct delivery through the kernel, and what came to the bus all the same."""

    def answer(totals: Any) -> None:
        call.reply(
            {
                "Way": Variant("s", bus.statistics.way),
                "Members": uint64(totals["members"]),
                "DirectMessages": uint64(totals["direct"]),
                "DirectDeliveries": uint64(totals["direct_deliveries"]),
                "DirectSpills": uint64(totals["spilled"]),
                "Asked": Variant("a{st}", totals["asked"]),
            }
        )

    bus.statistics.ask(call, Table.TOTALS, answer)


def trace(bus: Bus, call: Call) -> None:
    """Trace(as rules): as BecomeMonitor, and before each message the signal Stamp(t microseconds).

    A stamp is the time of CLOCK_MONOTONIC at which the bus routed the message that follows it.
    """
    watch(bus, call, stamped=True)


def _after(entries: Iterable[Any], since: int) -> list[Any]:
    return [one for one in entries if _microseconds(one.realtime) > since]


def _time(seconds: float) -> Variant:
    return Variant("t", _microseconds(seconds))


def _microseconds(seconds: float) -> int:
    return max(0, int(seconds * 1e6))


def _method(name: str, inputs: str, outputs: str, handler: Any) -> Method:
    return Method(name, inputs, outputs, handler, any_path=False, privileged=True, before_hello=True)


INSPECT: Final = Interface(
    INSPECT_NAME,
    (
        _method("GetStatus", "", "a{sv}", get_status),
        _method("ListConnections", "tu", "aa{sv}", list_connections),
        _method("ListQueues", "", "a{sas}", list_queues),
        _method("ListPendingCalls", "t", "a(ssut)", list_pending_calls),
        _method("ListStarts", "", "aa{sv}", list_starts),
        _method("Denials", "t", "aa{sv}", denials),
        _method("Gone", "t", "aa{sv}", gone),
        _method("GetPolicy", "", "ay", get_policy),
        _method("Mediation", "ssuba{ss}", "aa{sv}", mediation),
        _method("Group", "", "a{sv}", group),
        Method("Trace", "as", "", trace, any_path=False, privileged=True),
    ),
    signals=(Signal("Stamp", (("microseconds", "t"),)),),
    any_path=False,
    listed=True,
)
