"""org.freedesktop.LogControl1: how much the bus logs, on an object of its own.

The interface is systemd's (org.freedesktop.LogControl1(5)). All of it is for root and the bus's own user:
policies of distributions let every user ask for properties of the bus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import errors
from ..errors import DBusError
from ..logging import LEVELS
from ..outlets import IDENTITY
from .method import Interface, Method, Property
from .properties import PROPERTIES

if TYPE_CHECKING:
    from ..bus import Bus

LOG_PATH: Final = "/org/freedesktop/LogControl1"
LOG_CONTROL_NAME: Final = "org.freedesktop.LogControl1"


def _level(bus: Bus) -> str:
    return LEVELS[bus.log.level]


def _target(bus: Bus) -> str:
    return bus.log.target


def _set_level(bus: Bus, level: str) -> None:
    if level not in LEVELS:
        raise DBusError(errors.INVALID_ARGS, f"Log level '{level}' is none of {', '.join(LEVELS)}")
    bus.log.level = LEVELS.index(level)


LOG_CONTROL: Final = Interface(
    LOG_CONTROL_NAME,
    (),
    (
        Property("LogLevel", "s", _level, _set_level),
        Property("LogTarget", "s", _target),
        Property("SyslogIdentifier", "s", lambda bus: IDENTITY),
    ),
)
LOG_OBJECT: Final = (
    PROPERTIES.replace(
        methods=tuple(
            Method(one.name, one.inputs, one.outputs, one.handler, privileged=True)
            for one in PROPERTIES.methods
        ),
        any_path=True,
    ),
    LOG_CONTROL,
)
"""The interfaces of that object before those that every path has."""
