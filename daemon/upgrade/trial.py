"""What a rehearsal does: all of a resumed start that touches nothing."""

from __future__ import annotations

import os
from importlib import import_module

from ...auth.mechanisms import choose
from ...policy.load import load
from ...transport.relay import Evaluator, Relay
from ...transport.relay.state import Section, State, StateError
from . import memfd
from .control import Control
from .sections import decode_names

PARTS = ("serve", "watch", "upgrade.resume", "upgrade.upgrader")
"""What a resumed start imports, now or later, and with it all that these need."""


def rehearse(fd: int) -> None:
    """Read the state and the configuration, and build the tables; raises the exception of what fails."""
    memfd.check(fd, os.geteuid())
    for part in PARTS:
        import_module(f"omnibus.daemon.{part}")
    with State(fd) as state:
        relay = Relay.restore(state, rehearsal=True)
        try:
            control, names = (state.section(kind) for kind in (Section.CONTROL, Section.NAMES))
            if control is None or names is None:
                raise StateError("The state is not whole")
            decode_names(names)
            _configure(relay, Control.decode(control))
        finally:
            relay.close()


def _configure(relay: Relay, control: Control) -> None:
    settings = load(control.config_file, control.omnibus_config)
    choose(settings.auth, os.environ)
    Evaluator(settings.policy)
    relay.load_policy(settings.policy)
    relay.set_limits(settings.limits)
