"""omnibus's own configuration file, for settings that dbus-daemon's files have no elements for.

<omnibusconfig>
  <multicast>auto</multicast>
  <trust>same-user</trust>
</omnibusconfig>
"""

from __future__ import annotations

from .error import ConfigError
from .settings import Multicast
from .xml import OWN_SHAPES, parse, read_file

CHOICES = {"multicast": ("auto", "off", "require"), "trust": ("same-user", "everybody")}


def read_own(file: str) -> Multicast:
    """Return the settings of the file, or the defaults if it does not exist.

    Raises ConfigError with the file, the line and the element.
    """
    try:
        data = read_file(file)
    except ConfigError as error:
        if error.missing:
            return Multicast()
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
    default = Multicast()
    return Multicast(values.get("multicast", default.mode), values.get("trust", default.trust))
