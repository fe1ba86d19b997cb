"""The standby of a bus: its process, and what that needs to go on in the bus's place after a crash.

The process is the data plane's (``transport/relay/api/standby.c``); it writes the tables of the data plane
as they were when the bus was killed. What only the control plane knows has to be with it before: it is
written at each change, in the section CONTROL, as of an upgrade.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from ...transport.relay.resumption import LIBRARY as LIBRARY_PATH
from ...transport.relay.resumption import standby as first_standby
from ...transport.relay.state import Section, section
from ..configuration import named_fd
from ..guard import ignored
from .control import VERSION
from .plain import Known
from .program import CRASHED, LIBRARY, RESUME, ProgramError, check_trust, without_resume

if TYPE_CHECKING:
    from ..bus import Bus
    from ..loop import Loop
    from ..startup import Startup
    from .tables import Tables

PAUSE: Final = 1.0  # seconds before a standby that has ended is replaced
NOT_FOR_SUCCESSOR: Final = (
    b"LISTEN_PID",
    b"LISTEN_FDS",
    b"LISTEN_FDNAMES",
    b"LISTEN_PIDFDID",
    b"WATCHDOG_PID",  # it is another process
)


class Standby:
    """At most one process at a time; it shares all descriptors, and sleeps.

    Under systemd it is the unit's main process, since systemd ends all of a unit whose main process dies.
    """

    def __init__(self, loop: Loop, startup: Startup, bus: Bus, tables: Tables) -> None:
        self._loop = loop
        self._startup = startup
        self._bus = bus
        self._tables = tables
        self._settings = Known(bus.settings)
        self._pid = 0
        self._pidfd = -1
        bus.on_change = self._refresh

    def start(self) -> None:
        """Make the process, unless a crash has left one; a failure is logged, and the bus goes on."""
        try:
            self._refresh()
            self._pid, self._pidfd = first_standby() or self._make()
        except (OSError, ProgramError, ValueError) as error:
            self._bus.log.warning(f"There is no standby: {error}")
            return
        self._loop.reader(self._pidfd, self._ended, ignored)
        self._startup.notifier.main_process(self._pid)

    def _make(self) -> tuple[int, int]:
        check_trust(self._startup.program.path, os.geteuid())
        return self._bus.relay.standby(self._command(), self._environment(), self._fds())

    def end(self) -> None:
        """End the process, if there is one, before an upgrade."""
        if self._pid:
            self._startup.notifier.main_process(os.getpid(), wait=True)
            os.kill(self._pid, signal.SIGKILL)
            self._reap()

    def dismiss(self) -> None:
        """Let the process end with the bus, which ends in good order."""
        self._bus.relay.dismiss()
        self._bus.on_change = lambda: None
        if self._pid and self._startup.notifier.is_on:
            # The manager is to see the main process end by itself, after the bus.
            self._loop.remove_reader(self._pidfd)
        elif self._pid:
            os.kill(self._pid, signal.SIGKILL)
            self._reap()

    def _refresh(self) -> None:
        if self._settings.record is not self._bus.settings:
            self._settings = Known(self._bus.settings)
        control = self._tables.dump(self._loop.time(), None).encode(self._settings)
        self._bus.relay.keep(section(Section.CONTROL, control, version=VERSION))

    def _ended(self) -> None:
        """Replace a standby that was killed."""
        self._reap()
        self._bus.log.warning("The standby has ended; the bus makes another")
        self._loop.later(PAUSE, self.start, ignored)

    def _reap(self) -> None:
        pid, self._pid = self._pid, 0
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        os.waitpid(pid, 0)

    def _command(self) -> list[bytes]:
        options = [RESUME]
        try:
            check_trust(LIBRARY_PATH, os.geteuid(), executable=False)
            options.append(LIBRARY + LIBRARY_PATH)
        except ProgramError as error:
            self._bus.log.note(f"After a crash clients wait for Python: {error}")
        arguments = [*options, CRASHED, *without_resume(sys.argv[1:])]
        return [os.fsencode(one) for one in self._startup.program.command(*arguments)]

    def _environment(self) -> list[bytes]:
        inherited = self._startup.inherited
        return [b"=".join(one) for one in inherited.items() if one[0] not in NOT_FOR_SUCCESSOR]

    def _fds(self) -> list[int]:
        fds = [sock.fileno() for listener in self._startup.listeners for sock in listener.sockets]
        return [*fds, *named_fd(self._startup.config_file)]
