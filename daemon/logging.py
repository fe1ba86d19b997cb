"""What the bus says to the administrator: on standard error, to syslog or the journal, or both ways."""

import os
import syslog
from collections.abc import Callable
from typing import Final

from ..systemd.journal import Journal

IDENTITY: Final = "omnibusd"

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

Field = str | int | None
"""A field of an entry in the journal; None: it is not known, or is of no meaning here.

DBUS_SENDER and DBUS_DESTINATION are names on the bus, DBUS_SERVICE is one that is started; UNIT, CONFIG_FILE
and CONFIG_LINE are systemd's: the unit that a service has, and the place of a rule or of an error.
"""


class Log:
    """Writes lines; ``prefix`` says which bus it is. Only the journal takes fields.

    ``open_journal`` raises OSError where there is none: then syslog(3) is used.
    """

    def __init__(self, open_journal: Callable[[], Journal] = Journal) -> None:
        self._open_journal = open_journal
        self._prefix = ""
        self._stderr = True
        self._syslog = False
        self._journal: Journal | None = None

    def configure(self, bus_type: str | None, *, to_syslog: bool, to_stderr: bool) -> None:
        """Decide where lines go from now on, and what they begin with."""
        if bus_type == "system":
            self._prefix = "[system] "
        elif bus_type == "session":
            self._prefix = f"[session uid={os.geteuid()} pid={os.getpid()}] "
        self._stderr = to_stderr
        self._syslog = to_syslog
        if to_syslog:
            try:
                self._journal = self._open_journal()
            except OSError:
                syslog.openlog(IDENTITY, syslog.LOG_PID, syslog.LOG_DAEMON)

    def info(self, text: str, **fields: Field) -> None:
        """Say what happened."""
        self.write(syslog.LOG_INFO, self._prefix + text, fields)

    def warning(self, text: str, **fields: Field) -> None:
        """Say what somebody should look at."""
        self.write(syslog.LOG_WARNING, self._prefix + text, fields)

    def security(self, text: str, **fields: Field) -> None:
        """Say that somebody was refused; this goes to the facility for authentication."""
        self.write(syslog.LOG_NOTICE, self._prefix + text, fields)

    def event(self, severity: int, text: str, **fields: Field) -> None:
        """Pass on a line of the data plane; ``severity`` is syslog's."""
        self.write(severity, self._prefix + text, fields)

    def write(self, severity: int, text: str, fields: dict[str, Field] | None = None) -> None:
        """Write a line without the prefix."""
        priority = SEVERITIES.get(severity, syslog.LOG_DAEMON | severity)
        if self._journal is not None:
            self._send(self._journal, priority, text, fields or {})
        elif self._syslog:
            syslog.syslog(priority, text)
        if self._stderr:
            line = f"{IDENTITY}[{os.getpid()}]: {text}\n"
            try:
                os.write(2, line.encode("utf-8", "surrogateescape"))
            except OSError:
                pass  # nobody reads it

    def _send(self, journal: Journal, priority: int, text: str, fields: dict[str, Field]) -> None:
        # What the journal has no room for is lost: to wait for it is to wait for a client of the bus.
        entry: dict[str, str | int] = {
            "MESSAGE": text,
            "PRIORITY": priority & 7,
            "SYSLOG_FACILITY": priority >> 3,
            "SYSLOG_IDENTIFIER": IDENTITY,
            "SYSLOG_PID": os.getpid(),
        }
        entry |= {name: value for name, value in fields.items() if value is not None}
        journal.send(entry)
