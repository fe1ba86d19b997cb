"""A data plane that goes on with the state of the program before, and serves before Python does."""

import os
from typing import Final

from ._relay import __file__ as _native
from ._relay import ffi, lib

LIBRARY: Final = os.path.join(os.path.dirname(os.path.abspath(_native)), "libomnibusrelay.so")
"""What omnibusd preloads, so that the data plane serves before Python runs."""


def standby() -> tuple[int, int] | None:
    """Returns the standby of a bus that has crashed, made before Python ran, once: its pid, and a pidfd.

    Both belong to the caller.
    """
    pidfd = ffi.new("int *")
    pid = int(lib.relay_resumption_standby(pidfd))
    return (pid, int(pidfd[0])) if pid else None


def end() -> None:
    """Reports that the control plane is ready: there is no way back. Closes the descriptor of the state."""
    lib.relay_resumption_end()


def abandon() -> None:
    """Executes the previous program with the present state; returns if that is not possible."""
    lib.relay_resumption_abandon()
