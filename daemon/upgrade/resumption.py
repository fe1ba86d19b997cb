"""What the previous program has handed on.

The way back to it is the data plane's, as it has to work where Python does not: transport/resumption/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ... import __version__
from ...transport.relay import Relay, resumption
from .program import CRASHED, PREVIOUS, RESTARTED, RESUME, RETURNED, ProgramError, without_resume


class Resumption:
    """What is handed on: the data plane with all descriptors, and the memfd.

    ``previous``: where the previous program still is, "" if it isn't known. ``returned``: this is that
    program. ``relay`` serves since the time ``since``, in seconds of CLOCK_MONOTONIC.
    ``crashed``: the bus has crashed, and ``restarted``: the service manager has restarted it; in either case
    this is another process.
    """

    def __init__(self, state: int, previous: str, *, returned: bool, crashed: bool, restarted: bool) -> None:
        self.state = state
        self.previous = previous
        self.returned = returned
        self.crashed = crashed
        self.restarted = restarted

    def begin(self) -> None:
        """Let the data plane serve, unless it does already; raises StateError.

        Must be called before ``prepare_descriptors``, which makes all descriptors close-on-exec.
        """
        self.relay, self.since = Relay.resumed()

    def end(self) -> None:
        """Report that this program is ready; the memfd is closed."""
        resumption.end()

    def abandon(self, reason: str, log: Callable[[str], object]) -> None:
        """Let the previous program go on; returns if that is not possible."""
        text = f"omnibus {__version__} can't go on with the state of the bus: {reason}"
        log(f"{text}; going back to {self.previous}" if self.previous else text)
        resumption.abandon()


def take(arguments: Sequence[str]) -> tuple[Resumption, tuple[str, ...]]:
    """Return what is handed on, and the rest of the command line; raises ProgramError."""
    options = arguments[: len(arguments) - len(without_resume(arguments))]
    values = dict(one.partition("=")[::2] for one in options)
    number = values.get(RESUME.removesuffix("="), "")
    if not number.isdecimal() or len(number) > 9:
        raise ProgramError(f"{RESUME}{number}: that is no descriptor")
    previous = values.get(PREVIOUS.removesuffix("="), "")
    resumption = Resumption(
        int(number),
        previous,
        returned=RETURNED in options,
        crashed=CRASHED in options,
        restarted=RESTARTED in options,
    )
    return resumption, without_resume(arguments)
