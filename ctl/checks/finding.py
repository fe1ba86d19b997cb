"""A finding, and the codes."""

from __future__ import annotations

from typing import Any, Final

from ...record import Record

CODES: Final = {
    "E001": "the bus passes over the whole file",
    "W002": "a user or group is unknown, so its rules are ignored",
    "E003": "everything may be sent by all users, and all earlier rules are void",
    "W004": "a rule about sending names no destination, so it concerns every service on the bus",
    "W005": "all users may own the name, and pretend to be the service",
    "I006": "what may be received is allowed anyway",
    "W007": "at_console depends on a seat's log-in, and dbus-broker ignores such policies",
    "W008": "rules of two files contradict each other, and only the order of the files decides",
    "W009": "the rule never decides: a later one takes it back",
    "I010": "a later rule says the same",
    "I011": "an earlier rule says the same",
    "P012": "other message buses read this otherwise",
    "S013": "the service can't be started, owned or called as its file says",
}
QUIET: Final = "IP"
"""The first letters of codes that are no fault, and are shown with --strict or --select only."""


class Finding(Record):
    """A code and a place; line is 0 for a whole file. ``text`` says what it is, ``advice`` what to do."""

    file: str
    line: int
    code: str
    text: str
    advice: str = ""

    @property
    def is_fault(self) -> bool:
        """True unless it is information only."""
        return self.code[0] not in QUIET

    def __str__(self) -> str:
        """Return a line as compilers write them, which editors understand."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.code} {self.text}"

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**vars(self), "meaning": CODES[self.code]}
