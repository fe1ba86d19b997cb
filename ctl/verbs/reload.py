"""Check the configuration, then let the bus put it in force.

  omnibusctl reload --dry-run    only check
  omnibusctl reload --force      also with a file that the bus would pass over

dbus-daemon passes over a broken file and calls the reload a success; this refuses to begin with one.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ..buses import BUS_NAME
from ..checks.configuration import check
from ..exits import NO, YES
from ..output import escape
from ..source import config_file

if TYPE_CHECKING:
    from ..buses import Target


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dry-run", action="store_true", help="reload nothing")
    parser.add_argument("--force", action="store_true", help="reload in spite of errors")
    parser.add_argument("--config", metavar="FILE", help="the file to check instead of that of the bus")


def run(target: Target, options: Namespace) -> int:
    """Check and reload; return NO if there are errors and nothing was reloaded."""
    errors = [one for one in check(config_file(target, options.config)) if one.code.startswith("E")]
    output = target.output
    reloads = not options.dry_run and (options.force or not errors)
    if reloads:
        target.call(BUS_NAME, "ReloadConfig")
    if output.as_json:
        output.json({"errors": [one.plain() for one in errors], "reloaded": reloads})
    else:
        for one in errors:
            output.line(escape(str(one)))
        if reloads:
            output.line("reloaded")
        elif errors:
            output.line("not reloaded (--force reloads in spite of errors)")
        else:
            output.line("no errors; not reloaded")
    return YES if reloads or not errors else NO
