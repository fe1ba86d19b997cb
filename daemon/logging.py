"""The log: standard error, syslog or the journal."""

import os
import syslog
import time
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

LEVELS: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""The names of syslog's severities, by their numbers."""

# Values of MESSAGE_ID, which identify a kind of entry in the journal.
DENIED: Final = "ec79bd348aa7438890299b57c310b3c7"
RELOADED: Final = "1d0ac86c85f640408178b98158a8e24d"
RELOAD_FAILED: Final = "19bbb5f248564e27a5d307eba15828d9"
UPGRADED: Final = "4c83c2cc1b5746b0a0a2c5a7d2f0c6be"
RECOVERED: Final = "7d1f2c9b6b0e4f0fa4c5f1d0a3b96e52"
ACTIVATING: Final = "f7dfa3dd015040d7acb59d72eda73ace"
ACTIVATED: Final = "bdd0656f9ddf4133b5e83e8d8a862fc1"
ACTIVATION_FAILED: Final = "6c09ad87bfb64643a47328228a0a70e5"

EPISODE: Final = 60.0  # seconds without the condition, after which it is logged again
RETRY: Final = 1.0  # seconds between attempts to log the number of lost lines
LOST: Final = "{} lines of this log are lost, since there was no room for them"

Later = Callable[[float, Callable[[], None]], object]
"""Schedules a function after a number of seconds."""


class Log:
    """Writes lines; the prefix identifies the bus. Only the journal has fields.

    ``open_journal`` raises OSError where there is none; then syslog(3)'s socket is used. After ``never_wait``
    a line that would block is counted as lost. ``level``: lines of a greater severity number are not written.
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
        self.level = syslog.LOG_INFO
        self.target = "console"
        """Where lines go, in the words of org.freedesktop.LogControl1(5)."""

    def configure(self, bus_type: str | None, *, to_syslog: bool, to_stderr: bool) -> None:
        """Set the outlets and the prefix."""
        if bus_type == "system":
            self._prefix = "[system] "
        elif bus_type == "session":
            self._prefix = f"[session uid={os.geteuid()} pid={os.getpid()}] "
        self._outlets = [self._system_log()] if to_syslog else []
        self.target = "console" if to_stderr else "null"
        if to_syslog:
            self.target = "journal" if self._outlets[0].has_fields else "syslog"
        if to_stderr:
            self._outlets.append(Outlet(self._stream.send, is_journal=self._stream.is_journal()))

    def never_wait(self) -> None:
        """Drop lines from now on rather than block."""
        self._stream.never_wait()

    def retry(self, later: Later) -> None:
        """Schedule reports of lost lines by ``later``, in case no other line comes."""
        self._later = later

    def info(self, text: str, **fields: Field) -> None:
        """Log an event."""
        self.write(syslog.LOG_INFO, self._prefix + text, fields)

    def note(self, text: str) -> None:
        """Log details for those who look for them: to the journal, and everywhere at the level debug."""
        for outlet in self._outlets:
            if self.level >= syslog.LOG_DEBUG or (outlet.is_journal and self.level >= syslog.LOG_INFO):
                self._write_to(outlet, syslog.LOG_DEBUG, self._prefix + text, {})

    def debug(self, text: str, *parts: object) -> None:
        """Log what is too much for those who have not asked for it; the parts replace {} in the text."""
        if self.level >= syslog.LOG_DEBUG:
            self.write(syslog.LOG_DEBUG, self._prefix + text.format(*parts))

    def warning(self, text: str, **fields: Field) -> None:
        """Log a problem for the administrator."""
        self.write(syslog.LOG_WARNING, self._prefix + text, fields)

    def security(self, text: str, **fields: Field) -> None:
        """Log a denial, with the facility for authentication."""
        self.write(syslog.LOG_NOTICE, self._prefix + text, fields)

    def event(self, severity: int, text: str, **fields: Field) -> None:
        """Log a line of the data plane; ``severity`` is syslog's."""
        self.write(severity, self._prefix + text, fields)

    def recurrent(self, condition: str, text: str, **fields: Field) -> None:
        """Warn of a lasting or recurring condition, once per episode."""
        now = time.monotonic()
        before = self._recurring.get(condition)
        self._recurring[condition] = now
        if before is None or now - before >= EPISODE:
            self.warning(text, **fields)

    def failure(self, error: BaseException) -> None:
        """Log an unexpected exception, once per episode for each place that raises it."""
        # Not at the start, when the first client would wait for it; asyncio has imported it by now.
        from traceback import format_exception

        lines = format_exception(error)
        self.recurrent(lines[-2] if len(lines) > 1 else lines[-1], "".join(lines))

    def write(self, severity: int, text: str, fields: Mapping[str, Field] | None = None) -> None:
        """Write a line without the prefix, if the level allows it."""
        if severity > self.level:
            return
        for outlet in self._outlets:
            self._write_to(outlet, severity, text, fields or {})
        self._retry_later()

    def _write_to(self, outlet: Outlet, severity: int, text: str, fields: Mapping[str, Field]) -> None:
        priority = SEVERITIES.get(severity, syslog.LOG_DAEMON | severity)
        if not outlet.has_fields:
            text += _place(fields)
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

        return Outlet(send, is_journal=True, has_fields=True)


def _place(fields: Mapping[str, Field]) -> str:
    """Return the place of the rule that has denied a message, for a line without fields."""
    file = fields.get("CONFIG_FILE")
    if fields.get("MESSAGE_ID") != DENIED or file is None:
        return ""
    return f" ({file}:{fields.get('CONFIG_LINE')})"
