"""org.omnibus.Control1: what the administrator asks of the bus, on the bus's own path alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .method import Call, Interface, Method

if TYPE_CHECKING:
    from ..bus import Bus

CONTROL_NAME: Final = "org.omnibus.Control1"


def upgrade(bus: Bus, call: Call) -> None:
    """Upgrade() → s version, u connections, t microseconds: go on as the installed program (``upgrade/``).

    Answered by that program, or with the error FAILED. The reply tells its version, the number of
    connections, and for how long clients were not served.
    """
    bus.on_upgrade(call)


CONTROL: Final = Interface(
    CONTROL_NAME,
    (Method("Upgrade", "", "sut", upgrade, any_path=False, privileged=True),),
    any_path=False,
    listed=True,
)
