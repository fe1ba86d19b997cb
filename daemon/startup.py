"""The start of the daemon, from its configuration to the first client, and its end."""

from __future__ import annotations

import os
import pwd
import signal
import syslog
import time
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ..auth.mechanism import Mechanisms
from ..auth.mechanisms import UnsupportedMechanism, choose
from ..policy.error import ConfigError
from ..policy.load import load
from ..policy.service_dirs import make_transient_dir
from ..policy.settings import Settings
from ..systemd.listen_fds import METRICS, ListenFdsError, take_listen_fds
from ..systemd.notify import Notifier
from ..transport.address import AddressError
from ..transport.listen import listen
from ..transport.listener import Listener, ListenError, new_guid
from ..transport.multicast.group import Group, Unavailable
from ..transport.relay import Module, Relay, share_heap
from ..transport.unix import PACKETS, listen_beside
from . import daemonize, mediation, pidfile
from .activation.environment import inherited
from .configuration import passed_over
from .doors import open_doors
from .group import begin_again, choose_group, finder, hand_over
from .logging import Log
from .options import Options
from .upgrade.program import CLIENTS, installed

if TYPE_CHECKING:
    from .serve import Serving

INHERITED: Final = "systemd:"

StartErrors = (
    AddressError,
    ConfigError,
    ListenError,
    ListenFdsError,
    MemoryError,
    OSError,  # a limit, or a sandbox
    Unavailable,
    UnsupportedMechanism,
    pidfile.PidFileError,
    daemonize.ProcessError,
)


class Startup:
    """One daemon. ``run`` returns the exit code."""

    def __init__(self, options: Options) -> None:
        self.options = options
        # As of time.time(); changes of files later than that may not have been read.
        self.began = time.time()
        # Relative to the initial working directory, which a daemon leaves.
        self.config_file = os.path.abspath(options.config_file)
        self.omnibus_config = options.omnibus_config and os.path.abspath(options.omnibus_config)
        self.program = installed()
        self.real_program = self.program.real_path
        self.log = Log()
        self.listeners: list[Listener] = []
        self.announced: tuple[Listener, ...] = ()
        self.group: Group | None = None
        self.group_required = False
        self.modules = Module(0)
        self.has_thread = True
        self.has_standby = False
        self.left: int | None = None
        self.forked = False
        self.way = ""
        self.to_syslog = False
        # Unreadable after a change of the user. The first is for this program, the second for services.
        self.inherited = self.variables = inherited()
        self.old_fd_limit: tuple[int, int] | None = None
        self.pidfile: str | None = None

    def run(self) -> int:
        """Start, serve, and clean up."""
        try:
            serving = self._start()
        except StartErrors as error:
            self._report_failure(reason(error))
            self._clean()
            return 1
        return 0 if serving is None else self._serve(serving)

    def _serve(self, serving: Serving) -> int:
        """Serve to the end; return the exit code."""
        ended_by = serving.run()
        self._clean()
        if ended_by == signal.SIGINT:
            # The parent process is to see the signal in the exit status.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        return 0

    def _start(self) -> Serving | None:
        """Return the bus in service, or None in the parent of a daemon; raises StartErrors."""
        settings = load(self.options.config_file, self.options.omnibus_config)
        mechanisms = self._prepare(settings)
        self._choose_group(settings)
        daemonize.hold_signals()
        self._listen(settings)
        user = None if settings.user is None else daemonize.find_user(settings.user)
        if not self._daemonize(settings):
            return None
        self._give_up_rights(user)
        self.notifier = Notifier()  # for this process, which may be a fork
        if self.left is not None:
            self._go_on(self.left)
        relay = self._start_relay(settings)
        # With few descriptors clients wait, as they could leave none for the control plane.
        waits = daemonize.has_few_fds()
        if not waits:
            open_doors(relay, self.listeners, mechanisms)
        # Clients are served by now, except with what the control plane decides.
        from .serve import Serving

        serving = Serving(self, relay, settings, mechanisms)
        serving.start()
        if waits:
            open_doors(relay, self.listeners, mechanisms)
        return serving

    def _prepare(self, settings: Settings) -> Mechanisms:
        """Check everything that can be checked without side effects."""
        self._configure_log(settings)
        self.modules = mediation.find_modules(settings)
        self._claim(settings)
        return self._mechanisms(settings)

    def _configure_log(self, settings: Settings) -> None:
        options = self.options
        to_syslog = settings.syslog if options.syslog is None else options.syslog
        to_stderr = not (to_syslog and options.syslog_only)
        self.to_syslog = to_syslog
        self.log.configure(settings.bus_type, to_syslog=to_syslog, to_stderr=to_stderr)
        for warning in settings.warnings:
            self.log.warning(str(warning), CONFIG_FILE=warning.file, CONFIG_LINE=warning.line or None)

    def _report_failure(self, reason: str) -> None:
        self.log.write(syslog.LOG_WARNING, f"Failed to start message bus: {reason}")

    def _claim(self, settings: Settings) -> None:
        """Check the pid file, and make the transient service directories."""
        if settings.pidfile is not None and self.options.write_pidfile:
            pidfile.check(settings.pidfile)
        for directory in settings.service_dirs:
            if directory.transient:
                try:
                    make_transient_dir(directory)
                except OSError as error:
                    self.log.warning(str(error))

    def _mechanisms(self, settings: Settings) -> Mechanisms:
        return choose(settings.auth, os.environ)

    def _addresses(self, settings: Settings) -> Sequence[str]:
        return settings.listen if self.options.address is None else (self.options.address,)

    def _choose_group(self, settings: Settings) -> None:
        """Make a group before privileges are dropped."""
        mode = self._multicast(settings)
        self.group_required = mode == "require"
        max_pending = settings.limits.max_replies_per_connection
        find = finder(self.modules)
        self.group, self.way = choose_group(mode, max_pending, find, containers=settings.containers)
        self.log.note(f"Messages go {self.way}")

    def begin_group_again(self, settings: Settings, relay: Relay) -> None:
        """Make a group for the clients that are connected."""
        mode, find = self._multicast(settings), finder(relay.mediated)
        self.group, self.way = begin_again(mode, settings, relay, self.log, find)

    def _multicast(self, settings: Settings) -> str:
        """Return the mode; the command line has precedence."""
        return self.options.multicast or settings.multicast.mode

    def _listen(self, settings: Settings) -> None:
        """Listen on all addresses, and print them, the last one first, as it is preferred."""
        try:
            taken, failure = take_listen_fds(), None
        except ListenFdsError as error:
            # The variables may be those of a script that has executed omnibusd: an error only for systemd:.
            taken, failure = [], error

        self.left = next((one.fd for one in taken if one.name == CLIENTS), None)

        def take() -> Sequence[int]:
            if failure is not None:
                raise failure
            fds = [one.fd for one in taken if one.fd != self.left and one.name != METRICS]
            taken.clear()
            return fds

        for address in self._addresses(settings):
            self.listeners.append(listen(address, take_inherited=take))
        # Not printed, since some clients can't parse a list: clients for packets derive the address.
        self.announced = tuple(self.listeners)
        if self.group is not None and self.left is None:
            self._listen_beside()
        if self.options.print_address is not None:
            daemonize.print_line(self.options.print_address, self.address)

    def _listen_beside(self) -> None:
        """Listen for clients that send packets, so that the group need not split a stream."""
        for address in [address for one in self.listeners for address in one.addresses]:
            try:
                listener = listen_beside(address)
            except ListenError as error:
                self.log.warning(f"Not listening for packets: {error}")
                continue
            if listener is not None:
                self.listeners.append(listener)

    @property
    def address(self) -> str:
        """The address for clients; omnibus's own transport comes after the standard ones."""
        ordered = list(reversed(self.announced))
        ordered.sort(key=lambda one: one.addresses[0].transport == PACKETS)
        return ";".join(one.connectable_address for one in ordered)

    def _daemonize(self, settings: Settings) -> bool:
        """Fork if requested, and write the pid; return False in the parent."""
        options = self.options
        path = settings.pidfile if options.write_pidfile else None
        pid = os.getpid()
        forks = settings.fork if options.fork is None else options.fork
        child = daemonize.fork() if forks else 0
        self.forked = forks
        if not forks or child:
            try:
                if path is not None:
                    pidfile.write(path, child or pid)
                    self.pidfile = path
                if options.print_pid is not None:
                    daemonize.print_line(options.print_pid, str(child or pid))
            except StartErrors:
                if child:
                    os.kill(child, signal.SIGTERM)
                raise
            if child:
                return False
        else:
            self.pidfile = path
            if options.print_pid is not None:
                daemonize.close_printed(options.print_pid)  # the parent prints
            daemonize.detach(keep_umask=settings.keep_umask)
        return True

    def is_socket_activated(self, settings: Settings) -> bool:
        """Return whether all sockets are the service manager's, which keeps them while no process runs."""
        return all(address == INHERITED for address in self._addresses(settings))

    def _go_on(self, left: int) -> None:
        """Go on with the clients that the process before has left; return if that is not possible."""
        from ..policy.load import describe
        from .upgrade.restart import go_on

        self.notifier.forget(CLIENTS)
        try:
            go_on(left, self)
        except Exception as error:
            self.log.warning(f"Clients are disconnected: {describe(error)}")

    def _start_relay(self, settings: Settings) -> Relay:
        """Start the data plane with the settings."""
        self._share_heap(settings)
        relay = Relay(self.listeners[0].guid if self.listeners else new_guid())
        if self.group is not None:
            failure = hand_over(self.group, relay, settings, self.log, required=self.group_required)
            self.way = failure or self.way
        mediation.begin(relay, self.modules, settings, self.log)
        relay.load_policy(settings.policy)
        relay.set_limits(settings.limits)
        relay.commit()
        self._start_thread(relay)
        self.notifier.ready(self.status + passed_over(settings.warnings))
        return relay

    def _share_heap(self, settings: Settings) -> None:
        """Prepare for a standby, if there is to be one.

        Not without being asked where another process waits for this one: a parent, or systemd with a unit
        that does not allow for it.
        """
        wanted = self.options.standby or settings.standby
        if not (wanted == "on" or (wanted == "auto" and self.forked)):
            return
        try:
            share_heap()
            self.has_standby = True
        except OSError as error:
            self.log.warning(f"There is no standby: {error.strerror}")

    def _start_thread(self, relay: Relay) -> None:
        try:
            relay.start()
        except OSError as error:
            why = f"there is no thread for them: {error.strerror}"
            self.log.warning(f"Messages share the thread of the control plane, since {why}")
            self.has_thread = False

    @property
    def status(self) -> str:
        """The status line for the service manager."""
        addresses = (one.connectable_address.partition(",guid=")[0] for one in self.listeners)
        return "Serving " + ";".join(addresses)

    def _give_up_rights(self, user: pwd.struct_passwd | None) -> None:
        self.log.never_wait()
        try:
            self.old_fd_limit = daemonize.raise_fd_limit()
        except daemonize.ProcessError as error:
            self.log.warning(str(error))
        # Only root can change the user.
        if user is not None and os.geteuid() == 0:
            # The user might not be able to read them.
            import_module(".serve", __package__)
            import_module(".upgrade.upgrader", __package__)
            import_module(".upgrade.tables", __package__)
            if self.left is not None:
                import_module(".upgrade.restart", __package__)
            daemonize.become(user, audit=bool(self.modules))

    def _clean(self) -> None:
        for listener in self.listeners:
            listener.close()
        if self.pidfile is not None:
            pidfile.remove(self.pidfile)


def reason(error: Exception) -> str:
    """Return a text for an error; those of the system have only an errno."""
    if isinstance(error, MemoryError):
        return "Not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
