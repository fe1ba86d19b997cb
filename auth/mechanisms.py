"""The available mechanisms, and the selection by ``<auth>``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

from .anonymous import Anonymous
from .external import External
from .mechanism import Mechanisms, NewMechanism

NAMES = ("EXTERNAL", "DBUS_COOKIE_SHA1", "ANONYMOUS")
"""In order of preference, which is also the order of REJECTED, whatever the configuration's order."""


class UnsupportedMechanism(ValueError):
    """``<auth>`` names an unknown mechanism; the text is for the administrator."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f'Unsupported auth mechanism "{name}" in bus config file detected. '
            f'Supported mechanisms are "{", ".join(NAMES)}".'
        )


def choose(allowed: Collection[str], environment: Mapping[str, str]) -> Mechanisms:
    """Return the mechanisms that ``<auth>`` allows, all if it names none.

    ``environment`` locates the keyring of DBUS_COOKIE_SHA1, which is opened on first use.
    Raises UnsupportedMechanism.
    """
    for name in allowed:
        if name not in NAMES:
            raise UnsupportedMechanism(name)
    return {name: _maker(name, environment) for name in NAMES if not allowed or name in allowed}


def _maker(name: str, environment: Mapping[str, str]) -> NewMechanism:
    if name == "EXTERNAL":
        return External
    if name == "ANONYMOUS":
        return Anonymous
    # Imported on demand: the stock configurations need neither these nor hashlib.
    from .cookie_sha1 import CookieSha1
    from .keyring import keyring_of_process

    keyring = cache(lambda: keyring_of_process(environment))
    return lambda uid: CookieSha1(keyring())
