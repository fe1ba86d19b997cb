"""The start of ``omnibusd --check``."""

from __future__ import annotations

import os

from ..auth.mechanism import Mechanisms
from ..auth.mechanisms import choose
from ..policy.settings import Settings
from ..transport.listen import parse_listenable
from ..transport.listener import Listener
from .check import report
from .options import Options
from .startup import Startup


class TrialStart(Startup):
    """A start at a private address, without a pid file; only the failure is logged."""

    def __init__(self, options: Options, listener: Listener) -> None:
        super().__init__(options)
        self.listeners = [listener]
        self.log.configure(None, to_syslog=False, to_stderr=False)

    def _configure_log(self, settings: Settings) -> None:
        pass

    def _claim(self, settings: Settings) -> None:
        pass

    def _mechanisms(self, settings: Settings) -> Mechanisms:
        """Allow EXTERNAL for the client of the trial, whatever mechanisms are configured."""
        super()._mechanisms(settings)
        return choose(("EXTERNAL",), os.environ)

    def _listen(self, settings: Settings) -> None:
        for address in self._addresses(settings):
            parse_listenable(address)
        self.announced = tuple(self.listeners)

    def _daemonize(self, settings: Settings) -> bool:
        return True

    def _report_failure(self, reason: str) -> None:
        report(reason)
