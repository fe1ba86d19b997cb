"""What the previous program has handed on, and the way back to it.

Little is imported here, because this has to work where the rest does not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from ... import __version__
from .. import daemonize
from ..activation.environment import inherited
from .program import PREVIOUS, RESUME, RETURNED, ProgramError, check_trust, without_resume


class Resumption:
    """What the previous program has handed on: the memfd, and the descriptors that stayed open.

    ``previous``: where that program still is, "" if it isn't known. ``returned``: this is that program.
    """

    def __init__(self, state: int, previous: str, returned: bool) -> None:
        self.state = state
        self.previous = previous
        self.returned = returned
        self.fds = [fd for fd in daemonize.open_fds() if fd > 2 and _is_inheritable(fd)]


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False  # that of the listing, closed by now


def take(arguments: Sequence[str]) -> tuple[Resumption, tuple[str, ...]]:
    """Return what is handed on, and the rest of the command line; raises ProgramError.

    Must be called before ``prepare_descriptors``, which makes all descriptors close-on-exec.
    """
    options = arguments[: len(arguments) - len(without_resume(arguments))]
    values = dict(one.partition("=")[::2] for one in options)
    number = values.get(RESUME.removesuffix("="), "")
    if not number.isdecimal() or len(number) > 9:
        raise ProgramError(f"{RESUME}{number}: that is no descriptor")
    previous = values.get(PREVIOUS.removesuffix("="), "")
    return Resumption(int(number), previous, RETURNED in options), without_resume(arguments)


def go_back(resumption: Resumption, reason: str, log: Callable[[str], object]) -> None:
    """Execute the previous program with the same state; returns if that is not possible."""
    text = f"omnibus {__version__} can't go on with the state of the bus: {reason}"
    previous = resumption.previous
    log(f"{text}; going back to {previous}" if previous else text)
    if not previous:
        return
    try:
        check_trust(previous, os.geteuid())
        for fd in resumption.fds:
            os.set_inheritable(fd, True)
        command = [previous, f"{RESUME}{resumption.state}", RETURNED, *without_resume(sys.argv[1:])]
        os.execve(previous, command, dict(inherited()))
    except (OSError, ProgramError) as error:
        log(f"The previous program can't be executed: {error}")
