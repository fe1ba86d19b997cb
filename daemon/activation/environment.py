"""The environment of started programs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

NOT_FOR_SERVICES: Final = (
    # Set by the service manager for the bus: its log, sockets, notifications, invocation, watchdog, process,
    # memory. And by omnibusd: its own path.
    "FDSTORE",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "OMNIBUS_PROGRAM",
    "NOTIFY_SOCKET",
    "INVOCATION_ID",
    "SYSTEMD_EXEC_PID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
)


def inherited() -> Mapping[bytes, bytes]:
    """Return the variables that this process was started with.

    os.environ may contain an LC_CTYPE that Python has set (PEP 538).
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            lines = file.read().split(b"\0")
    except OSError:
        return dict(os.environb)
    return {key: value for key, mark, value in (line.partition(b"=") for line in lines) if mark}


class Environment:
    """The inherited variables, those set by UpdateActivationEnvironment, and the bus address.

    ``bus_type`` is the <type> of the configuration, ``address`` the address for clients.
    """

    def __init__(self, variables: Mapping[bytes, bytes], address: str, bus_type: str | None) -> None:
        texts = {_text(key): _text(value) for key, value in variables.items()}
        self._variables = {key: value for key, value in texts.items() if key not in NOT_FOR_SERVICES}
        self._bus = {"DBUS_STARTER_ADDRESS": address}
        if bus_type is not None:
            self._bus["DBUS_STARTER_BUS_TYPE"] = bus_type
        if bus_type in ("session", "system"):
            self._bus[f"DBUS_{bus_type.upper()}_BUS_ADDRESS"] = address

    def update(self, variables: Mapping[str, str]) -> None:
        """Set variables for the programs that are started from now on."""
        self._variables.update(variables)

    @property
    def variables(self) -> Mapping[str, str]:
        """All but the bus address, as they are now."""
        return self._variables

    def for_program(self) -> dict[str, str]:
        """Return the whole environment; the bus address can't be overridden."""
        return self._variables | self._bus


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
