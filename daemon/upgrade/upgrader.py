"""An upgrade up to execve(2), which never returns if it succeeds."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...transport.relay.mediation import hold_audit_right, pass_audit_right
from ...transport.relay.message import NO_REPLY_EXPECTED
from ...transport.relay.state import State, StateError
from .. import errors
from ..configuration import named_fd
from ..daemonize import SIGNALS, open_fds, release_signals
from ..errors import DBusError
from ..guard import ignored
from . import carrier, memfd
from .control import Request
from .freezer import Freezer, Unrest
from .program import CLIENTS, LIBRARY, PREVIOUS, REHEARSE, RESUME, ProgramError, check_trust, without_resume
from .rehearsal import Rehearsal
from .sections import WRITTEN, encode

if TYPE_CHECKING:
    from ..accept import Acceptor
    from ..bus import Bus
    from ..driver.method import Call
    from ..loop import Loop
    from ..reload import Reloader
    from ..startup import Startup
    from ..turns import Turns
    from .standby import Standby
    from .tables import Tables

PATIENCE: Final = 5.0  # seconds to wait for a reload, or for a moment in which nothing is to be done
PAUSE: Final = 0.05  # seconds between attempts
LEAVING: Final = 1.0  # seconds for the state of a bus that is being ended
SPARE_FDS: Final = 64  # that a start takes
NOT_INHERITED: Final = (b"LISTEN_PID", b"LISTEN_FDS", b"LISTEN_FDNAMES", b"LISTEN_PIDFDID")


class Upgrader:
    """One upgrade at a time; each step that fails leaves the bus as it was, and is told to the caller.

    The sender of SIGUSR2 needs no check here: the kernel lets only root and the bus's own user send it.
    """

    def __init__(
        self,
        loop: Loop,
        startup: Startup,
        bus: Bus,
        acceptor: Acceptor,
        tables: Tables,
        reloader: Reloader,
        turns: Turns | None,
        standby: Standby | None = None,
    ) -> None:
        self._loop = loop
        self._startup = startup
        self._bus = bus
        self._acceptor = acceptor
        self._tables = tables
        self._reloader = reloader
        self._freezer = Freezer(bus, turns)
        self._standby = standby
        self._request: Request | None = None
        self._rehearsal: Rehearsal | None = None
        self._state = -1
        self._library = ""
        self._until = 0.0
        self._busy = False
        self._dissolved = False

    def ask(self, call: Call | None = None) -> None:
        """Begin an upgrade, which answers the call; raises DBusError if it can't begin."""
        if self._busy:
            raise DBusError(errors.FAILED, "An upgrade is under way")
        self._busy = True
        self._until = self._loop.time() + PATIENCE
        self._request = None
        if call is not None:
            # Nothing of this call may be left in the data plane, or it would be handed up again.
            if not call.flags & NO_REPLY_EXPECTED:
                self._request = Request(call.peer.id, call.serial)
            call.answered()
            call.resume()
        self._loop.soon(self._prepare, self._failed)

    def leave(self) -> bool:
        """Leave all clients with the service manager, for the next process of the unit (``restart.py``).

        The bus is frozen afterwards, and has to end. Return False if it is to disconnect them instead.
        """
        self.stop()
        self._until = self._loop.time() + LEAVING
        while True:
            try:
                self._dissolve_group()
                self._write(self._store)
            except Unrest as error:
                if self._loop.time() < self._until:
                    continue
                reason = str(error)
            except (OSError, StateError) as error:
                reason = _text(error)
            else:
                return True
            self._bus.log.warning(f"Clients are disconnected: {reason}")
            return False

    def stop(self) -> None:
        """End a rehearsal, if there is one."""
        rehearsal, self._rehearsal = self._rehearsal, None
        if rehearsal is not None:
            rehearsal.cancel()
        state, self._state = self._state, -1
        if state >= 0:
            os.close(state)

    def _prepare(self) -> None:
        """Check what can be checked, once no reload is under way, and begin the rehearsal."""
        if self._wait_for_reload(self._prepare):
            return
        try:
            self._check()
            self._dissolve_group()
            self._startup.notifier.reloading()
            self._startup.notifier.watchdog()
            self._write(self._rehearse)
        except Unrest:
            self._again(self._prepare)
        except (OSError, StateError, ProgramError) as error:
            self._fail(_text(error))

    def _rehearse(self) -> None:
        """Rehearse with the state that has just been written; the bus goes on meanwhile."""
        self._freezer.thaw()
        program = self._startup.program
        command = program.command(REHEARSE, f"{RESUME}{self._state}", *self._arguments())
        seconds = self._startup.options.rehearsal_seconds
        self._rehearsal = Rehearsal(
            self._loop,
            command,
            successor_environment(self._startup),
            self._state,
            self._rehearsed,
            seconds,
        )

    def _rehearsed(self, version: str, failure: str, library: str) -> None:
        self.stop()
        self._library = library
        if failure:
            self._fail(failure)
            return
        self._bus.log.note(f"omnibus {version} can go on with this bus")
        self._until = self._loop.time() + PATIENCE
        # The loop has to handle the signals that were received before they are blocked: in its next turn.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._loop.later(PAUSE / 10, self._go, self._failed)

    def _go(self) -> None:
        """Become the installed program."""
        if self._wait_for_reload(self._go):
            return
        try:
            self._check()
            self._write(self._execute)
        except Unrest:
            self._again(self._go)
        except (OSError, StateError, ProgramError) as error:
            self._fail(_text(error))

    def _dissolve_group(self) -> None:
        """Let clients that are members of a group be relayed again: no state has what the kernel knows."""
        if self._startup.group is not None:
            self._bus.relay.dissolve_group()
            self._startup.group = None
            self._dissolved = True

    def _begin_group_again(self) -> None:
        if self._dissolved:
            self._dissolved = False
            self._startup.begin_group_again(self._bus.settings, self._bus.relay)
            self._bus.statistics.way = self._startup.way

    def _write(self, then: Callable[[], None]) -> None:
        """Write the state, seal it, and call ``then`` with the bus frozen; if that raises the bus goes on."""
        frozen = self._loop.time()
        self._state = memfd.make()
        try:
            self._freezer.write(self._state, partial(self._sections, frozen))
            memfd.seal(self._state)
            then()
        except BaseException:
            self._freezer.thaw()
            os.close(self._state)
            self._state = -1
            raise

    def _sections(self, frozen: float) -> bytes:
        control = self._tables.dump(frozen, self._request)
        return encode(self._bus.names, self._acceptor.handshakes, control)

    def _store(self) -> None:
        """Leave the state and what it mentions with the service manager; raises OSError or StateError."""
        with carrier.fill([self._state, *sorted(set(self._carried()))]) as sock:
            self._startup.notifier.store(sock.fileno(), CLIENTS)

    def _execute(self) -> None:
        """Execute the program with the descriptors that the state mentions; raises OSError if that fails."""
        program = self._startup.program
        options = [f"{RESUME}{self._state}"]
        previous = self._previous()
        if previous is not None:
            options.append(PREVIOUS + previous)
        if self._may_preload():
            options.append(LIBRARY + self._library)
        command = program.command(*options, *self._arguments())
        kept = [*self._carried(), *named_fd(self._startup.config_file), self._state]
        if self._standby is not None:
            self._standby.end()  # it would keep what the next program closes
        try:
            for fd in kept:
                os.set_inheritable(fd, True)
            pass_audit_right()
            os.execve(command[0], command, successor_environment(self._startup))
        finally:
            hold_audit_right()
            for fd in kept:
                os.set_inheritable(fd, False)
            if self._standby is not None:
                self._standby.start()

    def _carried(self) -> list[int]:
        """Return the descriptors that the sealed state mentions; raises StateError."""
        memfd.check(self._state, os.geteuid())
        with State(self._state) as state:
            fds = state.descriptors()
            if any(state.section(kind) is None for kind in WRITTEN):
                raise StateError("The state is not whole")
        return fds + [sock.fileno() for listener in self._startup.listeners for sock in listener.sockets]

    def _previous(self) -> str | None:
        """Return where this program is still installed, if the new one is elsewhere."""
        before, now = self._startup.real_program, self._startup.program.real_path
        if before == now:
            return None
        try:
            check_trust(before, os.geteuid())
        except ProgramError:
            return None
        return before

    def _may_preload(self) -> bool:
        """Return whether the library that the rehearsal has named is as safe as the program."""
        if not self._library:
            return False
        try:
            check_trust(self._library, os.geteuid(), executable=False)
        except ProgramError as error:
            self._bus.log.note(f"Clients wait for Python: {error}")
            return False
        return True

    def _check(self) -> None:
        """Raise ProgramError or StateError unless the program may be executed, and can start."""
        program = self._startup.program
        check_trust(program.path, os.geteuid())
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = len(open_fds())
        if limit != resource.RLIM_INFINITY and limit - used < SPARE_FDS:
            raise StateError(f"Only {limit - used} of {limit} descriptors are free")

    def _arguments(self) -> tuple[str, ...]:
        return without_resume(sys.argv[1:])

    def _wait_for_reload(self, again: Callable[[], None]) -> bool:
        if not self._reloader.busy:
            return False
        self._again(again, "A reload of the configuration is under way")
        return True

    def _again(self, action: Callable[[], None], reason: str = "The bus has too much to do") -> None:
        if self._loop.time() > self._until:
            self._fail(reason)
        else:
            self._loop.later(PAUSE, action, self._failed)

    def _failed(self, error: Exception) -> None:
        """End an upgrade because of an exception (``guard.py``)."""
        if self._busy:
            self._fail(f"The upgrade failed: {error!r}")

    def _fail(self, text: str) -> None:
        self._busy = False
        self.stop()
        self._begin_group_again()
        release_signals()
        self._startup.notifier.ready(self._startup.status)
        self._bus.log.warning(f"Not upgraded: {text}")
        request, self._request = self._request, None
        if request is not None:
            answer: Any = partial(
                self._bus.relay.error, request.peer, request.serial, errors.FAILED, f"Not upgraded: {text}"
            )
            self._bus.guard.run(answer, ignored)


def successor_environment(startup: Startup) -> dict[bytes, bytes]:
    """Return the environment that this program was started with, without sockets that were taken."""
    return {name: value for name, value in startup.inherited.items() if name not in NOT_INHERITED}


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
