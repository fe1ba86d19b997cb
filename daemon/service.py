"""The life of the daemon, from its configuration to its end."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import pwd
import signal
import syslog
from collections.abc import Sequence

import uvloop

from ..auth.mechanism import Mechanisms
from ..auth.mechanisms import UnsupportedMechanism, choose
from ..policy.error import ConfigError
from ..policy.service_dirs import make_transient_dir
from ..policy.settings import Settings
from ..systemd.listen_fds import ListenFdsError, take_listen_fds
from ..systemd.notify import Notifier
from ..systemd.watchdog import Watchdog
from ..transport.address import AddressError
from ..transport.listen import listen
from ..transport.listener import Listener, ListenError, new_guid
from ..transport.multicast.group import Group, Unavailable
from ..transport.relay import Relay
from . import pidfile, process
from .activation.environment import Environment, inherited
from .activation.loop_tools import LoopTools
from .activation.spawner import Spawner
from .bus import Bus
from .configuration import FirstReading
from .direct import choose_group
from .logging import Log
from .options import Options
from .reload import Reloader, reader
from .server import Server

StartErrors = (
    AddressError,
    ConfigError,
    ListenError,
    ListenFdsError,
    Unavailable,
    UnsupportedMechanism,
    pidfile.PidFileError,
    process.ProcessError,
)


class Service:
    """One daemon. ``run`` returns the exit code."""

    def __init__(self, options: Options, reading: FirstReading) -> None:
        self._options = options
        self._reading = reading
        # Relative to where we were started, not to where a daemon lives.
        self._config_file = os.path.abspath(options.config_file)
        self._log = Log()
        self._listeners: list[Listener] = []
        self._group: Group | None = None
        self._pidfile: str | None = None
        self._signal = signal.SIGTERM
        self._to_syslog = False
        # Readable as long as we are who we were.
        self._inherited = inherited()
        self._old_fd_limit: tuple[int, int] | None = None

    def run(self) -> int:
        """Start, serve, end."""
        try:
            settings = self._reading.result()
            mechanisms = self._prepare(settings)
            self._group = self._choose_group(settings)
            process.hold_signals()
            self._listen(settings)
            if not self._daemonize(settings):
                return 0
        except StartErrors as error:
            self._log.write(syslog.LOG_WARNING, f"Failed to start message bus: {error}")
            self._clean()
            return 1
        self._serve(settings, mechanisms)
        self._clean()
        if self._signal == signal.SIGINT:
            # Whoever waits for us shall see what ended us.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        return 0

    def _prepare(self, settings: Settings) -> Mechanisms:
        """Check what can be checked before anything is touched."""
        options = self._options
        to_syslog = settings.syslog if options.syslog is None else options.syslog
        to_stderr = not (to_syslog and options.syslog_only)
        self._to_syslog = to_syslog
        self._log.configure(settings.bus_type, to_syslog=to_syslog, to_stderr=to_stderr)
        for warning in settings.warnings:
            self._log.warning(str(warning), CONFIG_FILE=warning.file, CONFIG_LINE=warning.line or None)
        if settings.pidfile is not None and options.write_pidfile:
            pidfile.check(settings.pidfile)
        for directory in settings.service_dirs:
            if directory.transient:
                try:
                    make_transient_dir(directory)
                except OSError as error:
                    self._log.warning(str(error))
        return choose(settings.auth, os.environ)

    def _choose_group(self, settings: Settings) -> Group | None:
        """Make a group while there are rights to; the command line has the last word."""
        mode = self._options.multicast or settings.multicast.mode
        return choose_group(mode, settings.limits.max_replies_per_connection, self._log)

    def _listen(self, settings: Settings) -> None:
        """Listen on all addresses, and print them, the last one first: it is preferred."""
        taken = take_listen_fds()
        addresses = settings.listen if self._options.address is None else (self._options.address,)

        def take() -> Sequence[int]:
            fds = [one.fd for one in taken]
            taken.clear()
            return fds

        for address in addresses:
            self._listeners.append(listen(address, take_inherited=take))
        if self._options.print_address is not None:
            process.print_line(self._options.print_address, self._address)

    @property
    def _address(self) -> str:
        """What clients connect to."""
        return ";".join(one.connectable_address for one in reversed(self._listeners))

    def _daemonize(self, settings: Settings) -> bool:
        """Fork if that is wanted, write the pid, give up rights; return False in the parent of a daemon."""
        options = self._options
        user = None if settings.user is None else process.find_user(settings.user)
        path = settings.pidfile if options.write_pidfile else None
        pid = os.getpid()
        forks = settings.fork if options.fork is None else options.fork
        child = process.fork() if forks else 0
        if not forks or child:
            try:
                if path is not None:
                    pidfile.write(path, child or pid)
                    self._pidfile = path
                if options.print_pid is not None:
                    process.print_line(options.print_pid, str(child or pid))
            except StartErrors:
                if child:
                    os.kill(child, signal.SIGTERM)
                raise
            if child:
                return False
        else:
            self._pidfile = path
            if options.print_pid is not None:
                process.close_printed(options.print_pid)  # the parent prints
            process.detach(keep_umask=settings.keep_umask)
        self._give_up_rights(user)
        return True

    def _give_up_rights(self, user: pwd.struct_passwd | None) -> None:
        try:
            self._old_fd_limit = process.raise_fd_limit()
        except process.ProcessError as error:
            self._log.warning(str(error))
        # Who isn't root has no rights to give up, and stays who he is.
        if user is not None and os.geteuid() == 0:
            process.become(user)

    def _serve(self, settings: Settings, mechanisms: Mechanisms) -> None:
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        relay = Relay(self._listeners[0].guid if self._listeners else new_guid())
        spawner = Spawner(loop, self._old_fd_limit, to_journal=self._to_syslog)
        bus = Bus(
            relay,
            settings,
            self._log,
            systemd_activation=self._options.systemd_activation,
            tools=LoopTools(loop, spawner, relay.commit),
            environment=Environment(self._inherited, self._address, settings.bus_type),
        )
        server = Server(loop, bus, relay, self._listeners, mechanisms)
        notifier = Notifier()
        reloader = Reloader(
            loop,
            bus,
            reader(loop, self._config_file),
            notifier,
            status=self._status(),
            began=self._reading.began,
        )
        self._handle_signals(loop, reloader)
        if self._group is not None:
            everybody = settings.multicast.trust == "everybody"
            relay.set_group(self._group.fd, self._group.max_members, trust_everybody=everybody)
        relay.commit()
        relay.start()
        loop.add_reader(relay.event_fd, bus.dispatch)
        server.start()
        # When the watchdog ends us, SIGABRT leaves behind where we were.
        faulthandler.enable(2)
        gc.collect()
        gc.freeze()
        gc.enable()
        loop.call_soon(process.release_signals)
        loop.call_soon(notifier.ready, self._status())
        watchdog = Watchdog(loop, notifier, bus.statistics.when_alive)
        loop.run_forever()
        watchdog.stop()
        notifier.stopping()
        reloader.stop()
        server.stop()
        loop.remove_reader(relay.event_fd)
        for listener in self._listeners:
            listener.close()
        relay.close()
        loop.close()

    def _handle_signals(self, loop: asyncio.AbstractEventLoop, reloader: Reloader) -> None:
        def stop(number: signal.Signals) -> None:
            self._signal = number
            loop.stop()

        loop.add_signal_handler(signal.SIGTERM, stop, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, stop, signal.SIGINT)
        loop.add_signal_handler(signal.SIGHUP, reloader.ask)

    def _status(self) -> str:
        """Say in a line, for the service manager, what this daemon does."""
        addresses = (one.connectable_address.partition(",guid=")[0] for one in self._listeners)
        return "Serving " + ";".join(addresses)

    def _clean(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._pidfile is not None:
            pidfile.remove(self._pidfile)
