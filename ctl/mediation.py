"""What the security modules that mediate a bus say of a message or a name: the bus is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..record import Record
from .live import Live

CLASSES = {"SELinux": "dbus"}
"""The class of a module's permissions, where it has classes."""


class Opinion(Record):
    """One question to a module, and its answer. Labels that do not matter are empty."""

    module: str
    permission: str
    label: str
    peer_label: str
    allowed: bool
    error: str = ""

    @property
    def line(self) -> str:
        """The text for a reader."""
        kind = f"{CLASSES[self.module]} {self.permission}" if self.module in CLASSES else self.permission
        labels = " and ".join(filter(None, (self.label, self.peer_label and f"peer {self.peer_label}")))
        said = "allowed" if self.allowed else f"denied ({self.error})" if self.error else "denied"
        return f"{self.module}: {kind} {said} for label {labels}"

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return dict(vars(self))


class Mediation(Record):
    """What the modules say; ``asked`` is False where they were not asked, as only connections have labels."""

    modules: tuple[str, ...] = ()
    asked: bool = False
    opinions: tuple[Opinion, ...] = ()

    @property
    def allowed(self) -> bool:
        """False if a module denies it."""
        return all(one.allowed for one in self.opinions)

    @property
    def lines(self) -> list[str]:
        """The text for a reader."""
        if self.modules and not self.asked:
            return [f"{' and '.join(self.modules)}: not asked; name a connection, by --from"]
        return [one.line for one in self.opinions]

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        opinions = [one.plain() for one in self.opinions]
        return {"modules": list(self.modules), "asked": self.asked, "opinions": opinions}


def ask(
    live: Live,
    sender: str | None,
    receiver: str,
    type_: int,
    fields: Mapping[str, str | None],
    *,
    requested: bool = False,
) -> Mediation:
    """Ask about a message with these header fields; type 0: about owning the name ``destination``."""
    modules = tuple(live.status["Mediation"]) if live.status and "Mediation" in live.status else ()
    if not modules or sender is None:
        return Mediation(modules)
    given = {key: value for key, value in fields.items() if value is not None}
    rows = live.inspect("Mediation", "ssuba{ss}", sender, receiver, type_, requested, given)
    return Mediation(modules, True, tuple(_opinion(row) for row in rows))


def _opinion(row: dict[str, Any]) -> Opinion:
    labels = row.get("Label", ""), row.get("PeerLabel", "")
    return Opinion(row["Module"], row["Permission"], *labels, row["Allowed"], row.get("Error", ""))
