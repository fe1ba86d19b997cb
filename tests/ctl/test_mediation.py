"""What omnibusctl says of the security modules that mediate a bus."""

from __future__ import annotations

from typing import Any

import pytest

from omnibus.ctl.mediation import Mediation, Opinion, ask

SEND = {
    "Module": "SELinux",
    "Permission": "send_msg",
    "Label": "u:r:a",
    "PeerLabel": "u:r:b",
    "Allowed": False,
}
BIND = {"Module": "AppArmor", "Permission": "bind", "Label": "one", "Allowed": False, "Error": "no memory"}


class Bus:
    """A running bus with modules, of which the questions are kept."""

    def __init__(self, status: dict[str, Any] | None, *rows: dict[str, Any]) -> None:
        self.status = status
        self.rows = rows
        self.asked: list[tuple[Any, ...]] = []

    def inspect(self, member: str, signature: str, *values: Any) -> list[dict[str, Any]]:
        self.asked.append((member, signature, *values))
        return list(self.rows)


def find(bus: Bus, sender: str | None) -> Mediation:
    fields = {"destination": "a.b", "path": "/c", "interface": None}
    return ask(bus, sender, "a.b", 1, fields, requested=True)  # type: ignore[arg-type]


def test_denied() -> None:
    """Each answer names the module, its class, the permission and the labels."""
    bus = Bus({"Mediation": ["AppArmor", "SELinux"]}, SEND, BIND)
    found = find(bus, ":1.5")
    assert bus.asked == [
        ("Mediation", "ssuba{ss}", ":1.5", "a.b", 1, True, {"destination": "a.b", "path": "/c"})
    ]
    assert not found.allowed
    assert found.lines == [
        "SELinux: dbus send_msg denied for label u:r:a and peer u:r:b",
        "AppArmor: bind denied (no memory) for label one",
    ]
    assert found.plain()["opinions"][0] == {
        "module": "SELinux",
        "permission": "send_msg",
        "label": "u:r:a",
        "peer_label": "u:r:b",
        "allowed": False,
        "error": "",
    }


def test_allowed() -> None:
    found = find(Bus({"Mediation": ["SELinux"]}, SEND | {"Allowed": True}), ":1.5")
    assert found.allowed
    assert found.opinions == (Opinion("SELinux", "send_msg", "u:r:a", "u:r:b", True),)
    assert found.lines == ["SELinux: dbus send_msg allowed for label u:r:a and peer u:r:b"]


def test_without_sender() -> None:
    """Users have no labels."""
    bus = Bus({"Mediation": ["AppArmor", "SELinux"]}, SEND)
    found = find(bus, None)
    assert (bus.asked, found.asked, found.allowed) == ([], False, True)
    assert found.lines == ["AppArmor and SELinux: not asked; name a connection, by --from"]


@pytest.mark.parametrize("status", [None, {}, {"Mediation": []}])
def test_not_mediated(status: dict[str, Any] | None) -> None:
    """Also a bus that does not tell, and an earlier version."""
    bus = Bus(status, SEND)
    assert find(bus, ":1.5") == Mediation()
    assert (bus.asked, Mediation().lines) == ([], [])
