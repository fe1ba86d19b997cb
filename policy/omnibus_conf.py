"""omnibus's own configuration file, for settings that dbus-daemon's files have no elements for.

<omnibusconfig>
  <multicast>auto</multicast>
  <trust>same-user</trust>
  <standby>auto</standby>
  <containers>off</containers>
</omnibusconfig>
"""

from __future__ import annotations

from collections.abc import Mapping

from .error import ConfigError
from .settings import Multicast, Settings
from .xml import OWN_SHAPES, parse, read_file

CHOICES = {
    "multicast": ("auto", "off", "require"),
    "trust": ("same-user", "everybody"),
    "standby": ("auto", "on", "off"),
    "containers": ("off", "on"),
}


def apply_own(file: str, settings: Settings) -> Settings:
    """Return the settings with those of the file; raises ConfigError."""
    values = _read(file)
    return settings.replace(
        multicast=_multicast(values),
        standby=values.get("standby", settings.standby),
        containers=values.get("containers") == "on",
    )


def read_own(file: str) -> Multicast:
    """Return the settings about groups, or the defaults if the file does not exist; raises ConfigError."""
    return _multicast(_read(file))


def _read(file: str) -> Mapping[str, str]:
    """Return the texts of the elements that are there.

    Raises ConfigError with the file, the line and the element.
    """
    try:
        data = read_file(file)
    except ConfigError as error:
        if error.missing:
            return {}
        raise
    values: dict[str, str] = {}
    for element in parse(data, file, "omnibusconfig", OWN_SHAPES).children:
        value = element.text.strip()
        choices = CHOICES[element.name]
        if value not in choices:
            element.fail(f'Element <{element.name}> must be {" or ".join(choices)}, not "{value}"')
        if element.name in values:
            element.fail(f"Element <{element.name}> is given twice")
        values[element.name] = value
    return values


def _multicast(values: Mapping[str, str]) -> Multicast:
    default = Multicast()
    return Multicast(values.get("multicast", default.mode), values.get("trust", default.trust))
