"""What happens when something raises that was not expected to.

The control plane answers for others: a sender stands still until its call is answered, a message stays
parked until it is delivered or rejected, a socket that was handed up is in no other hands. An exception that
leaves a handler or a callback would end none of that. So whatever the loop, a thread or the data plane calls
comes with a second function, which ends what the first one was about: ``failed`` answers, rejects or closes
it. It is called after the exception has been logged, at any point of the first one's work, so it has to bear
that a part of it, or all, has been done already.

Nothing that is called here raises, ``failed`` included: the exception of a ``failed`` is logged as well.
Rejected: one handler for all exceptions at the top of the loop. It knows no caller, so it can't answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from . import errors
from .errors import DBusError
from .logging import Log

FAILURE: Final = "The message bus failed to answer"

Action = Callable[[], object]
Failed = Callable[[Exception], object]


def ignored(value: object) -> None:
    """Do nothing: no party waits for the result, or for what has failed."""


def failure(error: Exception) -> DBusError:
    """Return what the caller is told: the error itself if it is meant for the caller."""
    return error if isinstance(error, DBusError) else DBusError(errors.FAILED, FAILURE)


class Guard:
    """Calls functions that may raise, on behalf of callers that must not."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def run(self, action: Action, failed: Failed) -> None:
        """Call ``action``; if it raises, log that and call ``failed``."""
        try:
            action()
        except Exception as error:
            self.failed(error, failed)

    def failed(self, error: Exception, failed: Failed) -> None:
        """Log an exception that has been caught, and call ``failed``."""
        self._report(error)
        try:
            failed(error)
        except Exception as another:
            self._report(another)

    def _report(self, error: Exception) -> None:
        if isinstance(error, DBusError):
            return  # an answer, which the caller gets
        try:
            self._log.failure(error)
        except Exception:
            pass  # without memory for a traceback, say; the caller is answered all the same
