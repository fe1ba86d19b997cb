"""Turn a running dbus-daemon into omnibusd, with all its clients; root only.

  omnibusctl takeover --dry-run       only say whether it can be done
  omnibusctl takeover                 the system bus
  omnibusctl takeover --user=1000     the bus of a user
  omnibusctl takeover --pid=714       the bus of a process

This executes omnibus-takeover, whose exit status is 0: done, 1: refused, 2: usage, and 3: omnibusd was
executed and does not serve.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ..exits import CANNOT, Stop

if TYPE_CHECKING:
    from ..buses import Target

ABOUT_USERS = True
PROGRAM = "omnibus-takeover"
PLACES = ("/usr/local/sbin", "/usr/sbin")


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dry-run", action="store_true", help="only say whether it can be done")
    parser.add_argument("--force", action="store_true", help="end connections that can't be carried")
    parser.add_argument("--patience", metavar="SECONDS", help="how long to wait for what is in the way")
    parser.add_argument("--program", metavar="OMNIBUSD", help="what to execute")
    parser.add_argument("--user", metavar="UID", help="the bus of a user instead of the system's")
    parser.add_argument("--pid", metavar="PID", help="the bus of a process")


def command(options: Namespace) -> list[str]:
    """Return the arguments of the program."""
    found = [PROGRAM]
    found += [f"--{name}" for name in ("dry-run", "force") if getattr(options, name.replace("-", "_"))]
    for name in ("patience", "program"):
        value = getattr(options, name)
        found += [] if value is None else [f"--{name}={value}"]
    if options.pid is not None:
        return [*found, options.pid]
    return [*found, "--system" if options.user is None else f"--user={options.user}"]


def find(places: tuple[str, ...] = PLACES) -> str:
    """Return the path of the program, which the user's PATH has no part in; raises Stop."""
    beside = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "../build/takeover")
    for place in (*places, os.path.normpath(beside)):
        path = os.path.join(place, PROGRAM)
        if os.access(path, os.X_OK):
            return path
    raise Stop(CANNOT, f"{PROGRAM} is not installed: make takeover install-files")


def run(target: Target, options: Namespace) -> int:
    """Execute it."""
    path = find()
    sys.stdout.flush()
    os.execv(path, command(options))
