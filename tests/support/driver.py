"""The methods of org.freedesktop.DBus, and its errors."""

from __future__ import annotations

from typing import Any

from support.raw import ERROR, BusError, Client

# The arguments of each method.
ARGUMENTS = {
    "Hello": "",
    "RequestName": "su",
    "ReleaseName": "s",
    "StartServiceByName": "su",
    "UpdateActivationEnvironment": "a{ss}",
    "NameHasOwner": "s",
    "ListNames": "",
    "ListActivatableNames": "",
    "AddMatch": "s",
    "RemoveMatch": "s",
    "GetNameOwner": "s",
    "ListQueuedOwners": "s",
    "GetConnectionUnixUser": "s",
    "GetConnectionUnixProcessID": "s",
    "GetAdtAuditSessionData": "s",
    "GetConnectionSELinuxSecurityContext": "s",
    "ReloadConfig": "",
    "GetId": "",
    "GetConnectionCredentials": "s",
}


def refused(client: Client, error: str, *call: Any, **options: Any) -> str:
    """Call a method of the bus that must fail with this error, and return the error's text."""
    try:
        result = client.driver(*call, **options)
    except BusError as caught:
        assert caught.name == ERROR + error, caught
        return caught.text
    raise AssertionError(f"no error but {result}")
