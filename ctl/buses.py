"""The bus that a verb is about: its address, the connection to it, and what it can answer."""

from __future__ import annotations

import os
from typing import Any, Final

from ..daemon import errors
from ..daemon.client import BUS_NAME, BUS_PATH, Client, NotConnected, connect
from ..daemon.errors import DBusError
from .exits import CANNOT, NO_BUS, NOT_PERMITTED, TIMED_OUT, Stop
from .output import Output

SYSTEM: Final = "unix:path=/run/dbus/system_bus_socket;unix:path=/var/run/dbus/system_bus_socket"
SESSION: Final = "unix:runtime=yes"
UNKNOWN: Final = (errors.UNKNOWN_METHOD, errors.UNKNOWN_INTERFACE, errors.UNKNOWN_PROPERTY)
# dbus-broker's texts of org.freedesktop.DBus.Error.Failed and AccessDenied.
UNIMPLEMENTED: Final = ("Unimplemented functionality", "Invalid object path")


class Target:
    """One bus, connected when a verb asks it something first.

    kind: "system", "user", or "address". Methods raise Stop. A bus that takes no more connections still
    answers what root asks about itself, so its refusal counts only for other questions.
    """

    def __init__(self, kind: str, address: str | None, timeout: float, output: Output) -> None:
        self.kind = "address" if address else kind
        self.timeout = timeout
        self.output = output
        self._address = address
        self._client: Client | None = None
        self._refusal: Stop | None = None
        self.output.bus = {"kind": self.kind}

    @property
    def address(self) -> str:
        """The address, or a list of them."""
        if self._address:
            return self._address
        if self.kind == "system":
            return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM
        return os.environ.get("DBUS_SESSION_BUS_ADDRESS") or SESSION

    @property
    def client(self) -> Client:
        """The connection."""
        if self._client is None:
            self._client, self._refusal = self._begin()
            self.output.bus |= {"address": self.address, "guid": self._client.guid}
        return self._client

    def is_there(self) -> bool:
        """Return whether a bus can be connected to; other failures raise Stop."""
        try:
            return self.client is not None
        except Stop as stop:
            if stop.code != NO_BUS:
                raise
            return False

    def connect(self) -> Client:
        """Make another connection."""
        client, refusal = self._begin()
        if refusal is not None:
            client.socket.close()
            raise refusal
        return client

    def _begin(self) -> tuple[Client, Stop | None]:
        """Return a connection, and why the bus has refused to take it, if it has."""
        try:
            sock = connect(self.address, os.environ, self.timeout)
        except NotConnected as error:
            raise Stop(NO_BUS, f"no bus at {self.address}: {error}") from error
        client = Client(sock)
        try:
            client.begin()
        except DBusError as error:
            return client, Stop(NOT_PERMITTED, f"the bus refuses this connection: {error.text}")
        except NotConnected as error:
            client.socket.close()
            raise Stop(
                TIMED_OUT if error.timed_out else NO_BUS, f"no answer at {self.address}: {error}"
            ) from error
        return client, None

    def ask(
        self, interface: str, member: str, signature: str = "", *values: Any, path: str = BUS_PATH
    ) -> list[Any]:
        """Call a method of the bus itself; raises DBusError for an error other than those of ``call``."""
        try:
            return self.client.call(interface, member, signature, *values, path=path)
        except DBusError as error:
            if self._refusal is not None and error.name == errors.ACCESS_DENIED:
                raise self._refusal from error
            raise
        except NotConnected as error:
            raise Stop(TIMED_OUT if error.timed_out else NO_BUS, str(error)) from error

    def call(self, interface: str, member: str, signature: str = "", *values: Any) -> list[Any]:
        """Call a method of the bus itself, which has to be there and to be permitted."""
        try:
            return self.ask(interface, member, signature, *values)
        except DBusError as error:
            raise stop_for(error, f"{interface}.{member}") from error

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.socket.close()


def is_unknown(error: DBusError) -> bool:
    """Return True if the bus does not have what was called."""
    return error.name in UNKNOWN or error.text.strip() in UNIMPLEMENTED


def stop_for(error: DBusError, what: str) -> Stop:
    """Return the end of a verb for an error of the bus."""
    if error.name == errors.ACCESS_DENIED:
        return Stop(NOT_PERMITTED, f"the bus does not permit {what} to this user: {error.text.strip()}")
    if is_unknown(error):
        return Stop(CANNOT, f"this bus has no {what}")
    return Stop(1, f"{what}: {error.text.strip() or error.name}")


__all__ = ["BUS_NAME", "Target", "stop_for"]
