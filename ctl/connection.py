"""A connection as the verbs show it, whichever bus has told of it."""

from __future__ import annotations

from typing import Any, Final

from ..record import Record
from .subjects import user_name

GROUPS: Final = ("name", "unit", "uid", "comm")


class Connection(Record):
    """What is known of a connection; None: the bus can't tell.

    number: the digits of the unique name, by which connections are ordered. age: microseconds.
    messages_in, bytes_in: sent by the connection; messages_out, bytes_out: to it. queued_bytes: what waits
    for it, incoming_bytes: what it has sent and others have not read; of both the descriptors, too. parked:
    its messages that wait for a service to start. unread: for how many microseconds it has read nothing of
    its queue. calls: its calls without a reply.
    """

    name: str
    names: tuple[str, ...] = ()
    uid: int | None = None
    pid: int | None = None
    command: str | None = None
    unit: str | None = None
    age: int | None = None
    messages_in: int | None = None
    bytes_in: int | None = None
    messages_out: int | None = None
    bytes_out: int | None = None
    queued_bytes: int | None = None
    queued_messages: int | None = None
    queued_fds: int | None = None
    incoming_bytes: int | None = None
    incoming_fds: int | None = None
    unread: int | None = None
    refused: int | None = None
    parked: int | None = None
    calls: int | None = None
    rules: int | None = None
    stalled: bool | None = None
    paused: bool | None = None
    monitor: bool | None = None

    @property
    def number(self) -> tuple[int, ...]:
        """The unique name as numbers, for sorting."""
        return tuple(int(part) for part in self.name.lstrip(":").split(".") if part.isdecimal())

    @property
    def best_name(self) -> str:
        """The well-known name if there is one; others are counted."""
        if not self.names:
            return self.name
        return self.names[0] + (f" +{len(self.names) - 1}" if len(self.names) > 1 else "")

    @property
    def process(self) -> str:
        """The command and the pid."""
        if self.pid is None:
            return self.command or "-"
        return f"{self.command or '?'}[{self.pid}]"

    @property
    def text(self) -> str:
        """NAME command[pid] unit."""
        return " ".join(part for part in (self.best_name, self.process, self.unit or "") if part)

    @property
    def state(self) -> str | None:
        """What it is besides connected."""
        words = []
        if self.stalled:
            words.append("STALLED")
        if self.paused:
            words.append("PAUSED")
        if self.monitor:
            words.append("monitor")
        if not words and self.stalled is None:
            return None
        return ",".join(words) or "-"

    def group(self, by: str) -> str:
        """Return what connections are summed up by: one of GROUPS; "-" if it is not known."""
        if by == "uid":
            return "-" if self.uid is None else user_name(self.uid)
        if by == "name":
            return self.name
        return (self.unit if by == "unit" else self.command) or "-"

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**vars(self), "names": list(self.names)}
