"""What the bus says to the administrator: on standard error, to syslog, or both, as the reference does."""

import os
import syslog
from typing import Final

IDENTITY: Final = "omnibusd"

# The data plane's severities are syslog's.
SEVERITIES: Final = {
    syslog.LOG_CRIT: syslog.LOG_DAEMON | syslog.LOG_CRIT,
    syslog.LOG_WARNING: syslog.LOG_DAEMON | syslog.LOG_WARNING,
    syslog.LOG_NOTICE: syslog.LOG_AUTH | syslog.LOG_NOTICE,
    syslog.LOG_INFO: syslog.LOG_DAEMON | syslog.LOG_INFO,
}


class Log:
    """Writes lines; ``prefix`` says which bus it is."""

    def __init__(self) -> None:
        self._prefix = ""
        self._stderr = True
        self._syslog = False

    def configure(self, bus_type: str | None, *, to_syslog: bool, to_stderr: bool) -> None:
        """Decide where lines go from now on, and what they begin with."""
        if bus_type == "system":
            self._prefix = "[system] "
        elif bus_type == "session":
            self._prefix = f"[session uid={os.geteuid()} pid={os.getpid()}] "
        self._stderr = to_stderr
        self._syslog = to_syslog
        if to_syslog:
            syslog.openlog(IDENTITY, syslog.LOG_PID, syslog.LOG_DAEMON)

    def info(self, text: str) -> None:
        """Say what happened."""
        self.write(syslog.LOG_INFO, self._prefix + text)

    def warning(self, text: str) -> None:
        """Say what somebody should look at."""
        self.write(syslog.LOG_WARNING, self._prefix + text)

    def security(self, text: str) -> None:
        """Say that somebody was refused; this goes to the facility for authentication."""
        self.write(syslog.LOG_NOTICE, self._prefix + text)

    def event(self, severity: int, text: str) -> None:
        """Pass on a line of the data plane; ``severity`` is syslog's."""
        self.write(severity, self._prefix + text)

    def write(self, severity: int, text: str) -> None:
        """Write a line without the prefix."""
        if self._syslog:
            syslog.syslog(SEVERITIES.get(severity, syslog.LOG_DAEMON | severity), text)
        if self._stderr:
            line = f"{IDENTITY}[{os.getpid()}]: {text}\n"
            try:
                os.write(2, line.encode("utf-8", "surrogateescape"))
            except OSError:
                pass  # nobody reads it
