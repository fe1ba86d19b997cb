"""Let running buses go on as the installed omnibus, without losing a client.

  omnibusctl upgrade              the system bus
  omnibusctl --user upgrade       the bus of the session
  omnibusctl upgrade --all        as root: the system bus and that of each user

Exit status 5: a bus can't be upgraded, as it is no omnibusd, or one before this command; it takes a restart.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..exits import CANNOT, NO, YES
from ..upgrading import upgrade, upgrade_all

if TYPE_CHECKING:
    from ..buses import Target

RESULTS: Final = {YES: "done", NO: "failed", CANNOT: "a restart is needed"}


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--all", action="store_true", help="the system bus and each /run/user/*/bus")


def run(target: Target, options: Namespace) -> int:
    """Upgrade; the lines about each bus are printed as they come."""
    with _lines_on_stderr(target.output.as_json):
        code = upgrade_all() if options.all else upgrade(target.address)
    if target.output.as_json:
        target.output.json({"result": RESULTS[code]})
    return code


@contextmanager
def _lines_on_stderr(wanted: bool) -> Iterator[None]:
    """Let this process and its children print to standard error, where an object is to be printed alone."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    before = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(before, 1)
        os.close(before)
