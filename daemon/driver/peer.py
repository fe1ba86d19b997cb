"""org.freedesktop.DBus.Peer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..machine_id import read_machine_id
from .method import Call, Interface, Method, Reply

if TYPE_CHECKING:
    from ..bus import Bus

PEER_NAME: Final = "org.freedesktop.DBus.Peer"


def get_machine_id(bus: Bus, call: Call) -> Reply:
    """GetMachineId() → s: 32 hexadecimal digits."""
    return Reply((read_machine_id(),))


PEER: Final = Interface(
    PEER_NAME,
    (
        Method("GetMachineId", "", "s", get_machine_id, constant=True),
        Method("Ping", "", "", None),
    ),
)
