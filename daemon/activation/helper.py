"""The launch helper that starts a service: that of the configuration, or ours in place of a missing one.

The configuration of a distribution names the helper of dbus-daemon, and the package that has it may be gone.
A helper of another name is the administrator's choice: if it is missing, that is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

THEIRS: Final = "dbus-daemon-launch-helper"
OURS: Final = tuple(f"{prefix}/libexec/omnibus-daemon-launch-helper" for prefix in ("/usr", "/usr/local"))


def helper_command(
    configured: str, name: str, exists: Callable[[str], bool] = os.path.exists
) -> tuple[str, str]:
    """Return the command that starts the service ``name``, and what the log says of it."""
    chosen, text = configured, " (using servicehelper)"
    if os.path.basename(configured) == THEIRS and not exists(configured):
        chosen = next(filter(exists, OURS), configured)
        if chosen != configured:
            text = f" (using {chosen}, for want of {configured})"
    return f"{chosen} {name}", text
