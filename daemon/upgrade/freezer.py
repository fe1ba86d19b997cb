"""The state of a bus that stands still: freeze, dump until nothing has changed meanwhile, thaw."""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ...transport.relay import Event, EventKind, Relay
from ...transport.relay.state import StateError
from ..bus import Bus, Handling

if TYPE_CHECKING:
    from ..turns import Turns

MAX_TURNS: Final = 1000
MAX_UNREST: Final = 0.02  # seconds in which another dump may begin
PATIENCE: Final = 5.0  # seconds in which the data plane has to answer


class Unrest(Exception):
    """The bus had too much to do; it may be tried again."""


class Freezer:
    """Freezes a bus, and writes its state.

    Nothing of the event loop runs meanwhile, apart from the events of the data plane: no timer, and no child
    is reaped, so that what is written holds until ``thaw`` or execve(2).
    """

    def __init__(self, bus: Bus, turns: Turns | None) -> None:
        self._bus = bus
        self._relay: Relay = bus.relay
        self._turns = turns
        self._frozen = False
        self._dumped: tuple[int, str] | None = None
        self._poll = select.poll()
        self._poll.register(self._relay.event_fd, select.POLLIN)
        if turns is not None:
            self._poll.register(self._relay.poll_fd, select.POLLIN)
        bus.handlings[EventKind.FROZEN] = Handling(self._note_frozen, lambda event, error: None)
        bus.handlings[EventKind.DUMPED] = Handling(self._note_dumped, lambda event, error: None)

    def write(self, fd: int, sections: Callable[[], bytes]) -> None:
        """Freeze the bus, and write its state to a file.

        ``sections`` returns those of the control plane. Raises Unrest, StateError or OSError; the bus is
        frozen in any case, until ``thaw``.
        """
        self._frozen = False
        self._relay.freeze()
        self._relay.commit()
        self._wait(lambda: self._frozen)
        end = time.monotonic() + MAX_UNREST
        for _ in range(MAX_TURNS):
            written = sections()
            if self._dump(fd, written) and sections() == written:
                return
            if time.monotonic() > end:
                break
        raise Unrest("The bus has too much to do")

    def thaw(self) -> None:
        """Let the bus go on."""
        self._relay.thaw()
        self._relay.commit()

    def _dump(self, fd: int, sections: bytes) -> bool:
        """Return whether the state is whole: everything that was reported had been handled."""
        self._dumped = None
        self._relay.dump(fd, sections)
        self._relay.commit()
        self._wait(lambda: self._dumped is not None)
        assert self._dumped is not None
        error, text = self._dumped
        if error and error != errno.EAGAIN:
            raise StateError(f"The state can't be written: {text}")
        return not error

    def _wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                raise StateError("The data plane does not answer")
            if self._turns is not None:
                self._relay.turn()
                left = min(left, 0.01)
            self._poll.poll(1000 * left)
            self._bus.dispatch()

    def _note_frozen(self, event: Event) -> None:
        self._frozen = True

    def _note_dumped(self, event: Event) -> None:
        self._dumped = event.serial, event.body.decode("utf-8", "replace")
