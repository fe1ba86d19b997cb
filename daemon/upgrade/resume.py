"""The start of a program that goes on with the state of the previous one, and the way back."""

from __future__ import annotations

import os
import signal
import syslog
from functools import partial
from typing import TYPE_CHECKING, Final

from ... import __version__
from ...auth.mechanism import Mechanisms
from ...policy.settings import Settings
from ...systemd.notify import Notifier
from ...transport.relay import Relay
from ...transport.relay.state import Section, State, StateError
from .. import daemonize, errors, mediation, pidfile
from ..codec import make_body
from ..configuration import ForkedReading
from ..logging import RECOVERED, UPGRADED
from ..options import Options
from ..startup import StartErrors, Startup, reason
from .control import Control
from .resumption import Resumption
from .sections import count_peers, decode_names, last_crash
from .tables import Tables, restore_listeners

if TYPE_CHECKING:
    from ..serve import Serving

PATIENCE: Final = 5.0  # seconds that the configuration may take; then that of the state is used


class ResumedStart(Startup):
    """A start of a control plane whose data plane serves already; if it fails the previous program goes on.

    No event of the data plane is handled before all is ready. Until then the data plane can do without this
    process's Python: the way back is in transport/resumption/.
    """

    def __init__(self, options: Options, resumption: Resumption) -> None:
        super().__init__(options)
        self._resumption = resumption

    def run(self) -> int:
        """See ``Startup``."""
        try:
            serving = self._start()
        except Exception as error:
            return self._return(error)
        return self._serve(serving)

    def _start(self) -> Serving:
        daemonize.hold_signals()
        state = State(self._resumption.state)
        control = Control.decode(_section(state, Section.CONTROL))
        names = decode_names(_section(state, Section.NAMES))
        # Those of a restart are the unit's of today; others were relative to another directory.
        if not self._resumption.restarted:
            self.config_file, self.omnibus_config = control.config_file, control.omnibus_config
        reading = ForkedReading(self.config_file, self.omnibus_config)
        from ..serve import Serving  # while the child reads

        settings, mechanisms = self._configure(control, reading)
        self._adopt(control)
        self.notifier = Notifier()
        relay = self._configure_relay(settings)
        serving = Serving(self, relay, settings, mechanisms)
        serving.bus.names = names
        Tables(self, serving.bus, serving.spawner).restore(control)
        serving.start()
        if self._resumption.crashed:
            self._note_crash(state)
        state.close()
        self._resumption.end()
        self._tell(relay, control)
        return serving

    def _configure(self, control: Control, reading: ForkedReading) -> tuple[Settings, Mechanisms]:
        """Use the configuration as it is now; if it has an error, or takes too long, the state's."""
        try:
            settings = reading.result(PATIENCE)
            return settings, self._prepare(settings)
        except StartErrors as error:
            mechanisms = self._prepare(control.settings)
            self.log.warning(f"Still with the old configuration: {reason(error)}")
            return control.settings, mechanisms

    def _claim(self, settings: Settings) -> None:
        """Do nothing: the pid file is ours."""

    def _adopt(self, control: Control) -> None:
        """Take over what the process has had; raises StateError."""
        self.forked = control.forked
        for name, descriptor in control.descriptors():
            descriptor.check(name)
        self.listeners = restore_listeners(control)
        announced = zip(self.listeners, control.listeners, strict=True)
        self.announced = tuple(listener for listener, state in announced if state.announced)
        self.variables = {
            name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
            for name, value in control.environment.items()
        }
        self.old_fd_limit = control.old_fd_limit
        self.pidfile = control.pidfile
        another = self._resumption.crashed or self._resumption.restarted
        if another and self.pidfile is not None:
            self._renew_pidfile(self.pidfile)
        self.log.never_wait()

    def _renew_pidfile(self, path: str) -> None:
        """Write this process's pid where that of the previous one was."""
        pidfile.remove(path)
        try:
            pidfile.write(path, os.getpid())
        except pidfile.PidFileError as error:
            self.log.warning(str(error))

    def _configure_relay(self, settings: Settings) -> Relay:
        """Apply the configuration as a reload does."""
        relay = self._resumption.relay
        mediation.begin(relay, self.modules, settings, self.log)
        mediation.set_contexts(relay, settings)
        relay.load_policy(settings.policy)
        relay.set_limits(settings.limits)
        self.begin_group_again(settings, relay)
        if self._resumption.crashed:
            self.has_standby = True  # one was made before
        else:
            self._share_heap(settings)
        relay.commit()
        self.has_thread = relay.has_thread
        if not self.has_thread:
            self.log.warning("Messages share the thread of the control plane, since there is none for them")
        return relay

    def _tell(self, relay: Relay, control: Control) -> None:
        """Tell how that went."""
        if self._resumption.crashed:
            self.notifier.ready(self.status)
            return
        pause = self._log_pause(control)
        request = control.request
        if request is not None and not self._resumption.returned:
            body = make_body("sut", (__version__, control.connections, pause))
            relay.reply(request.peer, request.serial, "sut", body)
        elif request is not None:
            text = f"The installed program can't go on; omnibus {__version__} does"
            relay.error(request.peer, request.serial, errors.FAILED, text)
        relay.commit()
        self.notifier.ready(self.status)

    def _note_crash(self, state: State) -> None:
        """Log the crash."""
        crash = last_crash(_section(state, Section.CRASHES))
        n = count_peers(_section(state, Section.PEERS))
        how = signal.Signals(crash.signal).name if crash.signal else "it was killed"
        waited = max(0.0, 1000 * self._resumption.since - crash.when)
        self.log.warning(
            f"The bus has crashed ({how}); omnibus {__version__} goes on with its {n} connections,"
            f" which waited {waited:.0f} ms",
            MESSAGE_ID=RECOVERED,
        )

    def _log_pause(self, control: Control) -> int:
        """Log the upgrade; return for how many microseconds no client was served."""
        pause = max(0, int(1e6 * (self._resumption.since - control.frozen)))
        resumption = self._resumption
        how = "Returned" if resumption.returned else "Restarted" if resumption.restarted else "Upgraded"
        self.log.info(
            f"{how} from omnibus {control.version} to {__version__}: {control.connections} connections,"
            f" which waited {pause / 1000:.0f} ms",
            MESSAGE_ID=UPGRADED,
        )
        return pause

    def _return(self, error: Exception) -> int:
        """Go back to the previous program; return the exit code if that is not possible.

        Nothing is closed or removed, so that another program may serve.
        """
        self._resumption.abandon(reason(error), partial(self.log.write, syslog.LOG_CRIT))
        return 1


def _section(state: State, kind: Section) -> bytes:
    found = state.section(kind)
    if found is None:
        raise StateError(f"The state has no section {kind.name}")
    return found
