"""Handling of unexpected exceptions.

A sender is stopped until its call is answered, a message stays parked until it is delivered or rejected, and
a socket that was handed up has no other owner. An exception that leaves a handler or a callback would end
none of these. So every function that the loop, a thread or the data plane calls comes with a second one:
``failed`` answers, rejects or closes the object of the first. It is called after the exception has been
logged, and has to expect that the first function has done all, a part or nothing of its work.

Guarded calls never raise: an exception of ``failed`` is logged as well. Rejected: one handler for all
exceptions at the top of the loop, which does not know the caller, and can't answer it.
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
    """Do nothing: the result, or the failure, needs no answer."""


def failure(error: Exception) -> DBusError:
    """Return the error for the caller: the exception itself if it is a DBusError."""
    return error if isinstance(error, DBusError) else DBusError(errors.FAILED, FAILURE)


class Guard:
    """Calls functions that may raise, on behalf of callers that must not."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def run(self, action: Action, failed: Failed) -> None:
        """Call ``action``; if it raises, log the exception and call ``failed``."""
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
            return  # it is sent to the caller
        try:
            self._log.failure(error)
        except Exception:
            pass  # for example no memory for a traceback; the caller is answered nevertheless
