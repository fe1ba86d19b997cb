"""Bodies of replayed messages: those of calls to the bus are known, of others only the size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .trace import Line

DRIVER: Final = "org.freedesktop.DBus"
QUERIES: Final = (
    *("GetNameOwner", "NameHasOwner", "GetConnectionUnixUser", "GetConnectionUnixProcessID"),
    *("GetConnectionCredentials", "ListQueuedOwners", "StartServiceByName"),
)


def driver_body(line: Line, argument: str, flags: int) -> str:
    """Return signature and values of a call to the bus, separated by ``|``; ``flags`` are RequestName's."""
    if line.member in ("AddMatch", "RemoveMatch", "ReleaseName"):
        return f"s|{argument}"
    if line.member == "StartServiceByName":
        return f"su|{argument}|0"
    if line.member == "RequestName":
        return f"su|{argument}|{flags}"
    if line.member in QUERIES:
        return f"s|{argument}"
    if line.interface == f"{DRIVER}.Properties" and line.member == "GetAll":
        return f"s|{DRIVER}"
    if line.interface == f"{DRIVER}.Properties" and line.member == "Get":
        return f"ss|{DRIVER}|Features"
    return "E" if line.member == "UpdateActivationEnvironment" else ""


def signal_body(arguments: Mapping[int, str]) -> str:
    """Return strings for the arguments that rules test, and bytes that fill the message."""
    if not arguments:
        return "P"
    values = [arguments.get(index, "") for index in range(max(arguments) + 1)]
    return "|".join(["s" * len(values) + "P", *values])
