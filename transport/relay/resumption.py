"""A data plane that goes on with the state of the program before, and serves before Python does."""

import os
from typing import Final

from ._relay import __file__ as _native
from ._relay import lib

LIBRARY: Final = os.path.join(os.path.dirname(os.path.abspath(_native)), "libomnibusrelay.so")
"""What omnibusd preloads, so that the data plane serves before Python runs."""


def end() -> None:
    """Reports that the control plane is ready: there is no way back. Closes the descriptor of the state."""
    lib.relay_resumption_end()


def abandon() -> None:
    """Executes the previous program with the present state; returns if that is not possible."""
    lib.relay_resumption_abandon()
