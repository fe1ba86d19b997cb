"""Denials of the policy: from the bus itself, or from the journal, where older ones are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ..daemon.logging import DENIED
from ..policy.question import Header
from ..policy.rules import MESSAGE_TYPES
from ..record import Record
from .exits import CANNOT, Stop
from .process import command_of

if TYPE_CHECKING:
    from .live import Live

# As judge.c writes it, and dbus-daemon. Only what is in parentheses may contain quotes.
TEXT: Final = re.compile(
    r"(?:Rejected (?P<side>send|receive) message|Would reject message), \d+ matched rules; "
    r'type="(?P<type>\w+)", sender="(?P<sender>[^"]*)" \((?P<login>.*)\) '
    r'interface="(?P<interface>[^"]*)" member="(?P<member>[^"]*)" error name="(?P<error>[^"]*)" '
    r'requested_reply="(?P<requested>[01])" destination="(?P<destination>[^"]*)" \((?P<to_login>.*)\)'
)
UID: Final = re.compile(r"^uid=(\d+)")
PID: Final = re.compile(r"(?:^| )pid=(\d+)")
UNSET: Final = ("(unset)", "")


class Denial(Record):
    """One denial. realtime: microseconds; side: the one whose rules were asked, "send" or "receive".

    file and line are those of the deciding rule, "" and 0 if no rule matched. logins describe sender and
    receiver as the bus has recorded them.
    """

    realtime: int
    side: str
    only_logged: bool
    header: Header
    requested: bool
    sender: str
    login: str
    to_login: str
    file: str
    line: int

    @property
    def uid(self) -> int | None:
        """The sender's user; None: unknown."""
        return _number(UID, self.login)

    @property
    def to_uid(self) -> int | None:
        """The receiver's user; None: unknown."""
        return _number(UID, self.to_login)

    @property
    def process(self) -> str:
        """The sender's process."""
        pid = _number(PID, self.login)
        return f"{command_of(self.login) or '?'}[{'?' if pid is None else pid}]"

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        fields = {name: value for name, value in vars(self.header).items() if value is not None}
        return {**vars(self), "header": fields, "uid": self.uid, "to_uid": self.to_uid}


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(found[1]) if found else None


def parse(text: str, realtime: int, file: str, line: int) -> Denial | None:
    """Return the denial that a line of the log is about; None: it is about none."""
    found = TEXT.search(text)
    if found is None or found["type"] not in MESSAGE_TYPES:
        return None

    def field(name: str) -> str | None:
        return None if found[name] in UNSET else found[name]

    type_ = MESSAGE_TYPES[found["type"]]
    header = Header(
        type_,
        field("destination"),
        field("sender"),
        None,
        field("interface"),
        field("member"),
        field("error"),
        type_ in (2, 3),
    )
    return Denial(
        realtime,
        found["side"] or "send",
        found["side"] is None,
        header,
        found["requested"] == "1",
        found["sender"],
        found["login"],
        found["to_login"],
        file,
        line,
    )


def latest(live: Live, number: int, since: int) -> list[Denial]:
    """Return denials after a time, the latest ``number`` of them, the oldest first; raises Stop.

    A system bus that can't tell, or has not denied anything since its start, is asked by its journal.
    """
    found: list[Denial] = []
    if live.status is not None:
        rows = live.inspect("Denials", "t", since)
        found = _parsed((row["Text"], row["Time"], row["File"], row["Line"]) for row in rows)
    if not found and live.is_system:
        found = _parsed(_journal(number, since))
    elif not found and live.status is None:
        raise Stop(CANNOT, "this bus does not tell what it has denied, and only a system bus has a journal")
    return found[-number:]


def _parsed(rows: Iterator[tuple[str, int, str, int]]) -> list[Denial]:
    return [one for row in rows if (one := parse(*row)) is not None]


def _journal(number: int, since: int) -> Iterator[tuple[str, int, str, int]]:
    """Yield text, time and place of denials in the journal; nothing where there is none."""
    from json import loads

    # dbus-daemon's lines have no MESSAGE_ID.
    command = ["journalctl", "-q", "-b", "-o", "json", "-n", str(max(100, number))]
    command += [f"--since=@{since // 1_000_000}"] if since else []
    command += [f"MESSAGE_ID={DENIED}", "+", "_SYSTEMD_UNIT=dbus.service", "SYSLOG_IDENTIFIER=dbus-daemon"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return
    for line in done.stdout.splitlines():
        entry = loads(line)
        if isinstance(entry.get("MESSAGE"), str):
            place = entry.get("CONFIG_FILE") or "", int(entry.get("CONFIG_LINE") or 0)
            yield (entry["MESSAGE"], int(entry["__REALTIME_TIMESTAMP"]), *place)
