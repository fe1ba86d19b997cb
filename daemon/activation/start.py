"""One start, for all who wait for the same name."""

from __future__ import annotations

from .service_file import ServiceFile
from .tools import Child, Timer
from .waiters import Waiter


class Start:
    """``service`` is None as long as it is looked for, and for the service manager, which starts by itself.

    ``running``: it was found, the policy allows at least one of the waiters, and it is being started.
    """

    def __init__(self, name: str, timer: Timer) -> None:
        self.name = name
        self.timer = timer
        self.waiters: list[Waiter] = []
        self.service: ServiceFile | None = None
        self.running = False
        self.child: Child | None = None

    @property
    def exec(self) -> str | None:
        """The command line."""
        return None if self.service is None else self.service.exec

    @property
    def unit(self) -> str | None:
        """The systemd unit that stands for the service."""
        return None if self.service is None else self.service.systemd_service
