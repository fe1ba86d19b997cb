"""What a running bus tells of itself: by org.omnibus.Inspect1, or else by what every bus has."""

from __future__ import annotations

from typing import Any, Final

from ..daemon import errors
from ..daemon.client import BUS_NAME
from ..daemon.codec import Variant
from ..daemon.errors import DBusError
from . import process
from .buses import Target, is_unknown, stop_for
from .connection import Connection
from .exits import CANNOT, NOT_PERMITTED, Stop

INSPECT: Final = "org.omnibus.Inspect1"
METADATA: Final = "org.omnibus.Metadata1"
STATS: Final = "org.freedesktop.DBus.Debug.Stats"
BROKER: Final = "org.bus1.DBus.Debug.Stats"
DROP_IN: Final = "/usr/share/dbus-1/system.d/org.omnibus.conf"
AT_ONCE: Final = 64

# The field of a connection, and the key of Inspect1 and of Debug.Stats.
COUNTERS: Final = {
    "messages_in": "omnibus.MessagesReceived",
    "bytes_in": "omnibus.BytesReceived",
    "messages_out": "omnibus.MessagesSent",
    "bytes_out": "omnibus.BytesSent",
    "queued_bytes": "OutgoingBytes",
    "queued_messages": "OutgoingMessages",
    "queued_fds": "OutgoingFDs",
    "incoming_bytes": "IncomingBytes",
    "incoming_fds": "IncomingFDs",
    "refused": "omnibus.MessagesRefused",
    "parked": "omnibus.MessagesParked",
    "calls": "omnibus.PendingReplies",
    "rules": "MatchRules",
    "stalled": "omnibus.Stalled",
    "paused": "omnibus.Paused",
}
# Of dbus-broker, in bytes and pieces that are charged to a peer.
BROKER_COUNTERS: Final = {
    "queued_bytes": "OutgoingBytes",
    "incoming_bytes": "IncomingBytes",
    "queued_fds": "OutgoingFds",
    "incoming_fds": "IncomingFds",
    "calls": "ReplyObjects",
    "rules": "Matches",
}


def plain(value: Any) -> Any:
    """Return a value without variants."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


class Live:
    """A running bus. Methods raise Stop; a member that another kind of bus lacks ends with CANNOT."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._status: dict[str, Any] | None = None
        self._refused: DBusError | None = None
        self._asked = False

    @property
    def is_system(self) -> bool:
        """True for the machine's own bus, of which the journal is."""
        if self.status is not None:
            return bool(self.status["Type"] == "system")
        return self._target.kind == "system"

    @property
    def status(self) -> dict[str, Any] | None:
        """GetStatus of Inspect1; None: it is another bus, or this user may not ask."""
        if not self._asked:
            self._asked = True
            try:
                (status,) = self._target.ask(INSPECT, "GetStatus")
            except DBusError as error:
                self._refused = error
            else:
                self._status = plain(status)
                self._target.output.bus["version"] = self._status["Version"]
        return self._status

    @property
    def why_not(self) -> str:
        """Why there is no status."""
        if self._refused is None or is_unknown(self._refused):
            return "this bus is not omnibusd"
        return f"not permitted ({DROP_IN} lets root ask)"

    def inspect(self, member: str, signature: str = "", *values: Any) -> Any:
        """Call a member of Inspect1, without which there is no answer."""
        if self.status is None:
            assert self._refused is not None
            if self._refused.name == errors.ACCESS_DENIED:
                raise Stop(
                    NOT_PERMITTED,
                    f"only root and the user of the bus may ask, and by {DROP_IN}: {self._refused.text}",
                )
            raise Stop(CANNOT, f"this bus can't tell: {member} is omnibusd's ({INSPECT})")
        (answer,) = self._target.call(INSPECT, member, signature, *values)
        return plain(answer)

    def owner_of(self, name: str) -> tuple[dict[str, Any], tuple[str, ...]] | None:
        """Return the credentials and all names of the owner of a name; None: it has none."""
        owner = name if name.startswith(":") else self._owner(name)
        who = None if owner is None else self._ask_about(owner, BUS_NAME, "GetConnectionCredentials")
        if owner is None or who is None:
            return None
        queues = self.queues()
        return who, (owner, *(one for one, queue in queues.items() if owner in queue))

    def totals(self) -> dict[str, Any] | None:
        """GetStats; None: this bus has none, or does not permit it."""
        try:
            (totals,) = self._target.ask(STATS, "GetStats")
        except DBusError as error:
            if is_unknown(error) or error.name == errors.ACCESS_DENIED:
                return None
            raise stop_for(error, f"{STATS}.GetStats") from error
        return dict(plain(totals))

    def connections(self) -> list[Connection]:
        """Return all connections, by their numbers."""
        found = self._by_inspection() if self.status is not None else self._by_names()
        return sorted(found, key=lambda one: one.number)

    def _by_inspection(self) -> list[Connection]:
        found: list[Connection] = []
        first = 0
        while rows := self.inspect("ListConnections", "tu", first, AT_ONCE):
            found += [_inspected(row) for row in rows if row["Active"]]
            first = rows[-1]["Id"] + 1
        return found

    def _by_names(self) -> list[Connection]:
        """Return what other buses tell: owners, credentials, and statistics where they are permitted."""
        (listed,) = self._target.call(BUS_NAME, "ListNames")
        names: dict[str, list[str]] = {name: [] for name in listed if name.startswith(":")}
        for name in listed:
            owner = None if name.startswith(":") or name == BUS_NAME else self._owner(name)
            if owner is not None:
                names.setdefault(owner, []).append(name)
        accounts = self._broker_accounts()
        found = []
        for unique, owned in names.items():
            who = self._ask_about(unique, BUS_NAME, "GetConnectionCredentials")
            if who is None:
                continue  # it is gone
            counters = _broker_counters(accounts[unique]) if unique in accounts else self._statistics(unique)
            found.append(_connection(unique, owned, who.get("UnixUserID"), who.get("ProcessID"), **counters))
        return found

    def _owner(self, name: str) -> str | None:
        try:
            (owner,) = self._target.ask(BUS_NAME, "GetNameOwner", "s", name)
        except DBusError:
            return None  # it was given up meanwhile
        return str(owner)

    def _ask_about(self, name: str, interface: str, member: str) -> dict[str, Any] | None:
        try:
            (answer,) = self._target.ask(interface, member, "s", name)
        except DBusError:
            return None
        return dict(plain(answer))

    def _statistics(self, name: str) -> dict[str, Any]:
        stats = self._ask_about(name, STATS, "GetConnectionStats") or {}
        return {field: stats.get(key) for field, key in COUNTERS.items()}

    def _broker_accounts(self) -> dict[str, dict[str, Any]]:
        """Return the accounts of dbus-broker by unique name."""
        for interface in (STATS, BROKER):
            try:
                (totals,) = self._target.ask(interface, "GetStats")
            except DBusError:
                continue
            found = plain(totals).get(f"{BROKER}.PeerAccounting")
            if found is not None:
                return {row[0]: row[-1] for row in found}
        return {}

    def find(self, unique: str) -> Connection | None:
        """Return what every bus tells of one connection; None if it is gone."""
        who = self._ask_about(unique, BUS_NAME, "GetConnectionCredentials")
        if who is None:
            return None
        return _connection(unique, [], who.get("UnixUserID"), who.get("ProcessID"))

    def metadata(self, name: str) -> dict[str, Any] | None:
        """Return what the owner of a name says of itself; None: the bus can't tell, or has no room to ask."""
        if self.status is None:
            return None
        try:
            return self._ask_about(name, METADATA, "GetMetadata")
        except Stop:
            return None

    def queues(self) -> dict[str, list[str]]:
        """Return the unique names for each well-known name, the owner first."""
        if self.status is not None:
            return dict(self.inspect("ListQueues"))
        (listed,) = self._target.call(BUS_NAME, "ListNames")
        found = {}
        for name in listed:
            if name.startswith(":") or name == BUS_NAME:
                continue
            try:
                (found[name],) = self._target.ask(BUS_NAME, "ListQueuedOwners", "s", name)
            except DBusError:
                continue  # it was given up meanwhile
        return found

    def rules(self) -> dict[str, list[str]]:
        """Return all match rules by unique name."""
        (found,) = self._target.call(STATS, "GetAllMatchRules")
        return dict(found)


def _inspected(row: dict[str, Any]) -> Connection:
    return _connection(
        row["UniqueName"],
        row["Names"],
        row.get("UnixUserID"),
        row.get("ProcessID"),
        age=row["Age"],
        login=row["Login"],
        monitor=row["Monitor"],
        unread=row.get("Unread"),
        **{field: row[key] for field, key in COUNTERS.items()},
    )


def gone(row: dict[str, Any]) -> Connection:
    """Return a connection that has ended, of which a row of Gone tells. Its pid may be in use again."""
    command = process.command_of(row["Login"])
    return Connection(row["UniqueName"], (), row.get("UnixUserID"), row.get("ProcessID"), command)


def _connection(
    unique: str,
    names: list[str],
    uid: int | None,
    pid: int | None,
    *,
    age: int | None = None,
    login: str = "",
    **counters: Any,
) -> Connection:
    """Return a connection with what /proc says of its process, unless the pid was reused."""
    pid = pid or None
    alive = pid is not None and (age is None or process.is_older_than(pid, age))
    command = process.command(pid) if alive and pid is not None else None
    return Connection(
        unique,
        tuple(names),
        uid,
        pid,
        command or process.command_of(login),
        process.unit(pid) if alive and pid is not None else None,
        age,
        **counters,
    )


def _broker_counters(account: dict[str, Any]) -> dict[str, Any]:
    return {field: account.get(key) for field, key in BROKER_COUNTERS.items()}
