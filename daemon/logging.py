"""What the bus says to the administrator: on standard error, to syslog or the journal, or both ways."""

import os
import syslog
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Final

from ..systemd.journal import Journal
from .outlets import IDENTITY, Field, Outlet, Stream, Syslog

# The data plane's severities are syslog's.
SEVERITIES: Final = {
    syslog.LOG_CRIT: syslog.LOG_DAEMON | syslog.LOG_CRIT,
    syslog.LOG_WARNING: syslog.LOG_DAEMON | syslog.LOG_WARNING,
    syslog.LOG_NOTICE: syslog.LOG_AUTH | syslog.LOG_NOTICE,
    syslog.LOG_INFO: syslog.LOG_DAEMON | syslog.LOG_INFO,
}

# Values of MESSAGE_ID, by which entries of one kind are found in the journal.
DENIED: Final = "ec79bd348aa7438890299b57c310b3c7"
RELOADED: Final = "1d0ac86c85f640408178b98158a8e24d"
RELOAD_FAILED: Final = "19bbb5f248564e27a5d307eba15828d9"
ACTIVATING: Final = "f7dfa3dd015040d7acb59d72eda73ace"
ACTIVATED: Final = "bdd0656f9ddf4133b5e83e8d8a862fc1"
ACTIVATION_FAILED: Final = "6c09ad87bfb64643a47328228a0a70e5"

EPISODE: Final = 60.0  # seconds; without a condition that recurs for so long its next line is due
RETRY: Final = 1.0  # seconds until it is looked whether there is room again for lines
LOST: Final = "{} lines of this log are lost, since there was no room for them"

Later = Callable[[float, Callable[[], None]], object]
"""Calls something after so many seconds."""


class Log:
    """Writes lines; ``prefix`` says which bus it is. Only the journal takes fields.

    ``open_journal`` raises OSError where there is none: then syslog(3)'s socket is used. Lines are written at
    once or, after ``never_wait``, counted as lost.
    """

    def __init__(
        self, open_journal: Callable[[], Journal] = Journal, open_syslog: Callable[[], Syslog] = Syslog
    ) -> None:
        self._open_journal = open_journal
        self._open_syslog = open_syslog
        self._prefix = ""
        self._stream = Stream()
        self._outlets = [Outlet(self._stream.send)]
        self._recurring: dict[str, float] = {}
        self._later: Later | None = None
        self._retries = False

    def configure(self, bus_type: str | None, *, to_syslog: bool, to_stderr: bool) -> None:
        """Decide where lines go from now on, and what they begin with."""
        if bus_type == "system":
            self._prefix = "[system] "
        elif bus_type == "session":
            self._prefix = f"[session uid={os.geteuid()} pid={os.getpid()}] "
        self._outlets = [self._system_log()] if to_syslog else []
        if to_stderr:
            self._outlets.append(Outlet(self._stream.send, is_journal=self._stream.is_journal()))

    def never_wait(self) -> None:
        """Drop lines from now on rather than wait for their reader."""
        self._stream.never_wait()

    def retry(self, later: Later) -> None:
        """Say by this how many lines are lost, if no other line does it before."""
        self._later = later

    def info(self, text: str, **fields: Field) -> None:
        """Say what happened."""
        self.write(syslog.LOG_INFO, self._prefix + text, fields)

    def note(self, text: str) -> None:
        """Say to the journal alone what is of use only when it is looked for."""
        for outlet in self._outlets:
            if outlet.is_journal:
                self._write_to(outlet, syslog.LOG_INFO, self._prefix + text, {})

    def warning(self, text: str, **fields: Field) -> None:
        """Say what somebody should look at."""
        self.write(syslog.LOG_WARNING, self._prefix + text, fields)

    def security(self, text: str, **fields: Field) -> None:
        """Say that somebody was refused; this goes to the facility for authentication."""
        self.write(syslog.LOG_NOTICE, self._prefix + text, fields)

    def event(self, severity: int, text: str, **fields: Field) -> None:
        """Pass on a line of the data plane; ``severity`` is syslog's."""
        self.write(severity, self._prefix + text, fields)

    def recurrent(self, condition: str, text: str, **fields: Field) -> None:
        """Warn of a condition that lasts, or comes again and again: once an episode."""
        now = time.monotonic()
        before = self._recurring.get(condition)
        self._recurring[condition] = now
        if before is None or now - before >= EPISODE:
            self.warning(text, **fields)

    def failure(self, error: BaseException) -> None:
        """Warn of a mistake in the program itself: once an episode for each place that raises it."""
        lines = traceback.format_exception(error)
        self.recurrent(lines[-2] if len(lines) > 1 else lines[-1], "".join(lines))

    def write(self, severity: int, text: str, fields: Mapping[str, Field] | None = None) -> None:
        """Write a line without the prefix."""
        for outlet in self._outlets:
            self._write_to(outlet, severity, text, fields or {})
        self._retry_later()

    def _write_to(self, outlet: Outlet, severity: int, text: str, fields: Mapping[str, Field]) -> None:
        priority = SEVERITIES.get(severity, syslog.LOG_DAEMON | severity)
        outlet.write(priority, text, fields, self._lost)

    @property
    def _lost(self) -> tuple[int, str]:
        return SEVERITIES[syslog.LOG_WARNING], self._prefix + LOST

    def _retry_later(self) -> None:
        if self._later is not None and not self._retries and any(one.lost for one in self._outlets):
            self._retries = True
            self._later(RETRY, self._retry)

    def _retry(self) -> None:
        self._retries = False
        for outlet in self._outlets:
            outlet.catch_up(*self._lost)
        self._retry_later()

    def _system_log(self) -> Outlet:
        try:
            journal = self._open_journal()
        except OSError:
            return Outlet(self._open_syslog().send)

        def send(priority: int, text: str, fields: Mapping[str, Field]) -> bool:
            entry: dict[str, str | int] = {
                "MESSAGE": text,
                "PRIORITY": priority & 7,
                "SYSLOG_FACILITY": priority >> 3,
                "SYSLOG_IDENTIFIER": IDENTITY,
                "SYSLOG_PID": os.getpid(),
            }
            return journal.send(entry | {name: value for name, value in fields.items() if value is not None})

        return Outlet(send, is_journal=True)
