"""What an administrator asks about later: the latest denials, lost connections and failed starts.

Each is a ring in memory. An entry is made where a line is logged or a connection forgotten anyway, never for
a message that passes. Nothing is written to disk, and an upgrade begins with empty rings: the log keeps
longer.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from ..record import Record

if TYPE_CHECKING:
    from ..transport.relay import Event
    from .activation.start import Start
    from .errors import DBusError
    from .peers import Peer

DENIALS: Final = 256
GONE: Final = 256
FAILURES: Final = 64


class Denial(Record):
    """A denial as it was logged.

    realtime: seconds since the epoch, as everywhere here. sender: the unique name; None: it is gone, or the
    bus itself. file, line: the deciding rule; "" and 0: there was none.
    """

    realtime: float
    text: str
    sender: str | None
    destination: str
    file: str
    line: int


class GoneConnection(Record):
    """A connection that has ended; reason: a member of LossReason, lifetime: in seconds."""

    realtime: float
    name: str
    uid: int | None
    pid: int | None
    loginfo: str
    reason: str
    lifetime: float


class FailedStart(Record):
    """A start that has failed; requested_by: the unique name that asked first, "" for the bus itself."""

    realtime: float
    name: str
    exec: str
    unit: str
    requested_by: str
    loginfo: str
    error: str
    text: str


class History:
    """The rings, each with its oldest entry first."""

    def __init__(self) -> None:
        self.denials: deque[Denial] = deque(maxlen=DENIALS)
        self.gone: deque[GoneConnection] = deque(maxlen=GONE)
        self.failures: deque[FailedStart] = deque(maxlen=FAILURES)
        self.n_opened = 0
        """Connections that have got a unique name."""
        self.n_starts_done = 0
        self.n_starts_failed = 0
        self.n_reloads = 0
        self.n_reloads_failed = 0
        self.lost: dict[str, int] = {}
        """Connections that have ended, by reason."""

    def denied(self, text: str, event: Event, sender: str | None) -> None:
        """Note a denial that is being logged."""
        self.denials.append(
            Denial(time.time(), text, sender, event.destination or "", event.path or "", event.serial)
        )

    def left(self, peer: Peer, reason: str) -> None:
        """Note the end of a connection."""
        self.lost[reason] = self.lost.get(reason, 0) + 1
        who = peer.credentials
        life = time.monotonic() - peer.since
        self.gone.append(
            GoneConnection(time.time(), peer.unique_name, who.uid, who.pid, who.loginfo, reason, life)
        )

    def failed(self, start: Start, error: DBusError) -> None:
        """Note a failed start, whose waiters are still there; not one of a name that no service has."""
        if start.service is None:
            return
        self.n_starts_failed += 1
        peer = start.first_peer
        name, loginfo = ("", "") if peer is None else (peer.unique_name, peer.credentials.loginfo)
        self.failures.append(
            FailedStart(
                time.time(),
                start.name,
                start.exec or "",
                start.unit or "",
                name,
                loginfo,
                error.name,
                error.text,
            )
        )
