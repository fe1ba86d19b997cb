"""The bus in service, from the first iteration of the loop to the last."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..auth.mechanism import Mechanisms
from ..policy.settings import Settings
from ..systemd.watchdog import Watchdog
from ..transport.relay import Relay
from . import daemonize
from .accept import Acceptor
from .activation.environment import Environment
from .activation.spawner import Spawner
from .activation.tools import Tools
from .bus import Bus
from .configuration import Rereading
from .guard import Guard, ignored
from .loop import Loop
from .reload import Reloader
from .turns import Turns

if TYPE_CHECKING:
    from .driver.method import Call
    from .startup import Startup
    from .upgrade.standby import Standby
    from .upgrade.upgrader import Upgrader

# Seconds before files are watched: the first clients are served before, and a bus that ends soon doesn't pay
# for a watch, which the kernel is slow to free.
SETTLING: Final = 1.0


class Serving:
    """A bus above a data plane that has started already: call ``start``, then ``run``."""

    def __init__(self, startup: Startup, relay: Relay, settings: Settings, mechanisms: Mechanisms) -> None:
        self._signal = signal.SIGTERM
        self._listeners = startup.listeners
        self._log = startup.log
        self._events = asyncio.SelectorEventLoop()
        self._relay = relay
        self._loop = loop = Loop(self._events, Guard(startup.log), self._commit)
        self._turns = None if startup.has_thread else Turns(loop, relay)
        self._startup = startup
        self.spawner = spawner = Spawner(loop, startup.old_fd_limit, to_journal=startup.to_syslog)
        self.bus = Bus(
            relay,
            settings,
            startup.log,
            systemd_activation=startup.options.systemd_activation,
            tools=Tools(loop, spawner),
            environment=Environment(startup.variables, startup.address, settings.bus_type),
        )
        self.bus.statistics.way = startup.way
        self._acceptor = Acceptor(loop, self.bus, relay, self._listeners, mechanisms)
        self._notifier = startup.notifier
        self._reloader = Reloader(
            loop,
            self.bus,
            partial(Rereading, loop, startup.config_file),
            self._notifier,
            status=startup.status,
            began=startup.began,
        )
        self._upgrader: Upgrader | None = None
        self._standby: Standby | None = None
        self.bus.on_upgrade = self._upgrade

    def start(self) -> None:
        """Prepare to serve. Raises OSError."""
        loop = self._loop
        self._events.set_exception_handler(self._failed)
        self._log.retry(self._later)
        self._handle_signals()
        self._relay.commit()
        loop.reader(self._relay.event_fd, self.bus.dispatch, ignored)
        # The watchdog ends a hanging bus by SIGABRT, which shows the traceback then.
        with suppress(OSError):  # a sandbox may forbid sigaltstack()
            faulthandler.enable(2)
        # What is allocated by now is hardly ever freed.
        gc.freeze()
        gc.enable()
        loop.soon(daemonize.release_signals, ignored)
        loop.later(SETTLING, self._reloader.watch, ignored)
        loop.later(SETTLING, self._make_upgrader, ignored)
        if self._startup.has_standby:
            loop.soon(self._make_standby, ignored)

    def run(self) -> signal.Signals:
        """Serve until a signal ends the bus; return the signal."""
        watchdog = Watchdog(self._later, self._notifier, self.bus.statistics.ping)
        self._events.run_forever()
        watchdog.stop()
        self._end()
        return self._signal

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.signal(number, partial(self._stop, number), ignored)
        self._loop.signal(signal.SIGHUP, self._reloader.ask, ignored)
        self._loop.signal(signal.SIGUSR2, self._upgrade, self._not_upgraded)

    def _make_upgrader(self) -> Upgrader:
        """Import what upgrades, before another version of it is installed."""
        if self._upgrader is None:
            from .upgrade.tables import Tables
            from .upgrade.upgrader import Upgrader

            startup, bus = self._startup, self.bus
            tables = Tables(startup, bus, self.spawner)
            self._upgrader = Upgrader(
                self._loop, startup, bus, self._acceptor, tables, self._reloader, self._turns, self._standby
            )
        return self._upgrader

    def _make_standby(self) -> None:
        from .upgrade.standby import Standby
        from .upgrade.tables import Tables

        tables = Tables(self._startup, self.bus, self.spawner)
        self._standby = Standby(self._loop, self._startup, self.bus, tables)
        self._standby.start()

    def _commit(self) -> None:
        self.bus.commit()

    def _upgrade(self, call: Call | None = None) -> None:
        self._make_upgrader().ask(call)

    def _not_upgraded(self, error: Exception) -> None:
        """Log why a signal did not begin an upgrade; a caller would be told."""
        self._log.warning(f"Not upgraded: {error}")

    def _later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.later(seconds, action, ignored)

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an exception of a callback; asyncio's own handler could block."""
        self._log.failure(context.get("exception") or RuntimeError(context["message"]))

    def _stop(self, number: signal.Signals) -> None:
        self._signal = number
        self._events.stop()

    def _leave(self) -> bool:
        """Leave all clients with the service manager, which knows whether this is a restart."""
        may = self._notifier.is_on and self._startup.is_socket_activated(self.bus.settings)
        return may and self._signal == signal.SIGTERM and self._make_upgrader().leave()

    def _end(self) -> None:
        self._notifier.stopping()
        left = self._leave()
        if self._standby is not None:
            self._standby.dismiss()
        if left:
            self._listeners.clear()  # their files belong to the next process
            return
        self._reloader.stop()
        if self._upgrader is not None:
            self._upgrader.stop()
        self._acceptor.stop()
        self._loop.remove_reader(self._relay.event_fd)
        for listener in self._listeners:
            listener.close()
        if self.bus.containers is not None:
            self.bus.containers.close()
        if self._turns is not None:
            self._turns.stop()
        self._relay.close()
        self._events.close()
