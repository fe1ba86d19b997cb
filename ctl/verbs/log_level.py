"""How much the bus logs, until it is started or upgraded again (omnibusd only).

  omnibusctl log-level            emerg, alert, crit, err, warning, notice, info (at the start) or debug
  omnibusctl log-level warning    nothing of less weight: no denials, starts or reloads
  omnibusctl log-level debug      also connections that begin and end

What `why --last` and `log` ask the bus itself is kept at every level.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any, Final

from ...daemon.codec import Variant
from ...daemon.errors import DBusError
from ...daemon.logging import LEVELS
from ..buses import is_unknown, stop_for
from ..exits import CANNOT, YES, Stop
from ..output import escape

if TYPE_CHECKING:
    from ..buses import Target

PATH: Final = "/org/freedesktop/LogControl1"
CONTROL: Final = "org.freedesktop.LogControl1"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("level", nargs="?", choices=LEVELS, help="the new level")


def run(target: Target, options: Namespace) -> int:
    """Print the level, or set it; return YES."""
    if options.level is not None:
        value = Variant("s", options.level)
        _call(target, "Set", "ssv", CONTROL, "LogLevel", value)
    (found,) = _call(target, "Get", "ss", CONTROL, "LogLevel")
    level = str(found.value)
    if target.output.as_json:
        target.output.json({"level": level})
    else:
        target.output.line(escape(level))
    return YES


def _call(target: Target, member: str, signature: str, *values: Any) -> list[Any]:
    """Call a method of the object, which only omnibusd has."""
    try:
        return target.ask(PROPERTIES, member, signature, *values, path=PATH)
    except DBusError as error:
        if is_unknown(error):
            raise Stop(CANNOT, f"this bus has no {CONTROL}: omnibusd has") from error
        raise stop_for(error, f"{CONTROL}.LogLevel") from error
