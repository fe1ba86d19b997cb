"""Check the configuration, then let the bus put it in force.

omnibusctl reload --dry-run    only check, and count the rules that would change
omnibusctl reload --force      also with a file that the bus would pass over

dbus-daemon passes over a broken file and calls the reload a success; this refuses to begin with one.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ..buses import BUS_NAME
from ..checks.configuration import check
from ..exits import NO, YES, Stop
from ..live import Live
from ..output import escape
from ..source import config_file, from_files, running
from .policy import difference

if TYPE_CHECKING:
    from ..buses import Target


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dry-run", action="store_true", help="reload nothing")
    parser.add_argument("--force", action="store_true", help="reload in spite of errors")
    parser.add_argument("--config", metavar="FILE", help="the file to check instead of that of the bus")


def run(target: Target, options: Namespace) -> int:
    """Check and reload; return NO if there are errors and nothing was reloaded."""
    live = Live(target)
    file = options.config or _file_of(live) or config_file(target, None)
    errors = [one for one in check(file) if one.code.startswith("E")]
    changes = _changes(live, file)
    output = target.output
    reloads = not options.dry_run and (options.force or not errors)
    if reloads:
        target.call(BUS_NAME, "ReloadConfig")
    code = YES if reloads or not errors else NO
    if output.as_json:
        found = [one.plain() for one in errors]
        gone, added = changes or (None, None)
        output.json({"errors": found, "reloaded": reloads, "rules_gone": gone, "rules_added": added})
        return code
    for one in errors:
        output.line(escape(str(one)))
    if changes is not None:
        output.line(f"rules: {changes[0]} gone, {changes[1]} added")
    if reloads:
        output.line("reloaded")
    elif errors:
        output.line("not reloaded (--force reloads in spite of errors)")
    else:
        output.line("no errors; not reloaded")
    return code


def _file_of(live: Live) -> str | None:
    files: list[str] = (live.status or {}).get("Files", [])
    return files[0] if files else None


def _changes(live: Live, file: str) -> tuple[int, int] | None:
    """Return how many rules go and come; None: the bus does not tell, or the files are broken."""
    if live.status is None:
        return None
    try:
        gone, added = difference(running(live).rules, from_files(file).rules)
    except Stop:
        return None
    return len(gone), len(added)
