"""The driver: the bus as an object, org.freedesktop.DBus, with one module per interface.

An interface is a table of methods, properties and signals (``method.py``); introspection, the check of
arguments and the dispatch all follow from the table. The data plane answers frequent calls itself
(GetNameOwner, NameHasOwner, AddMatch, Ping and others), and hands up the rest.

Invariants:

- A call is answered exactly once, and its sender is stopped until then, so the order of replies is kept.
- Checks and errors follow the order and the words of the reference, as programs compare them.
- A handler never blocks: it returns the reply, or keeps the call and answers it later.

To add a method, declare it in the table of its interface. A method without a handler is answered by the data
plane, by ``methods`` in ``transport/relay/route/driver.c``; some have both, for calls that it hands up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from .. import errors
from ..errors import DBusError
from .control import CONTROL
from .dbus import DBUS
from .inspection import INSPECT
from .introspectable import INTROSPECTABLE, describe
from .listeners import LISTENERS
from .log_control import LOG_OBJECT, LOG_PATH
from .metadata import METADATA
from .method import BUS_NAME, BUS_PATH, Call, Interface, Method, Reply
from .monitoring import MONITORING
from .peer import PEER, PEER_NAME
from .properties import PROPERTIES
from .stats import STATS

if TYPE_CHECKING:
    from ...transport.relay import Event
    from ..bus import Bus
    from ..peers import Peer

__all__ = ["BUS_NAME", "BUS_PATH", "INTERFACES", "Call", "Driver", "Interface", "Method", "Reply"]

INTERFACES: Final = (
    *(DBUS, PROPERTIES, INTROSPECTABLE, MONITORING, STATS, PEER),
    *(CONTROL, INSPECT, LISTENERS, METADATA),
)
"""Of the bus's own object, in the order of the search for the method of a call without an interface."""


def interfaces(*, containers: bool) -> tuple[Interface, ...]:
    """Return the interfaces of a bus; ``containers``: with Containers1."""
    if not containers:
        return INTERFACES
    from .containers import CONTAINERS

    at = INTERFACES.index(PEER)
    return (*INTERFACES[:at], CONTAINERS, *INTERFACES[at:])


class Driver:
    """Finds the method of a call, checks the call, and invokes the handler."""

    def __init__(self, interfaces: tuple[Interface, ...] = INTERFACES) -> None:
        self.interfaces = interfaces
        self._methods = {
            (interface.name, method.name): (interface, method)
            for interface in interfaces
            for method in interface.methods
        }
        self._elsewhere = tuple(interface for interface in interfaces if interface.any_path)

    def at(self, path: str) -> tuple[Interface, ...]:
        """Return the interfaces of the object at a path; every path is an object."""
        if path == BUS_PATH:
            return self.interfaces
        return (*LOG_OBJECT, *self._elsewhere) if path == LOG_PATH else self._elsewhere

    def introspection(self) -> str:
        """Return the XML of the object at the bus's own path, as ``--introspect`` prints it."""
        return describe(self.interfaces, BUS_PATH)

    def handle(self, bus: Bus, call: Call) -> Reply | None:
        """Return the reply to a call, None if the handler answers it; raises DBusError."""
        method = call.method = self._method_of(bus, call.peer, call.message)
        return self._answered_below(method) if method.handler is None else method.handler(bus, call)

    def _method_of(self, bus: Bus, peer: Peer, message: Event) -> Method:
        """Return the method of a permitted call; raises DBusError."""
        if message.destination is None:
            method = self._without_destination(message)
        elif not peer.active and not self._before_hello(peer, message):
            raise DBusError(
                errors.ACCESS_DENIED,
                "Client tried to send a message other than Hello without being registered",
            )
        else:
            method = self._find(message)
            self._check(bus, peer, message, method)
        return method

    def _before_hello(self, peer: Peer, message: Event) -> bool:
        """Return whether a connection without a unique name may call the method."""
        if message.member == "Hello" and message.interface in (None, BUS_NAME):
            return True
        known = self._methods.get((message.interface or "", message.member or ""))
        return peer.credentials.privileged and known is not None and known[1].before_hello

    def _find(self, message: Event) -> Method:
        """Return the method; a call may omit the interface (specification: "Message Types")."""
        known = self._methods.get((message.interface or "", message.member or ""))
        if known is not None and known[0].any_path:
            return known[1]
        found_interface = False
        for interface in self.at(message.path or "/"):
            if message.interface is not None and message.interface != interface.name:
                continue
            found_interface = True
            method = interface.method(message.member or "")
            if method is not None:
                return method
        raise DBusError(
            errors.UNKNOWN_METHOD if found_interface else errors.UNKNOWN_INTERFACE,
            f"{BUS_NAME} does not understand message {message.member}",
        )

    def _check(self, bus: Bus, peer: Peer, message: Event, method: Method) -> None:
        """Check the caller, the path and the signature, in the reference's order."""
        if method.privileged:
            self.check_privileged(bus, peer, method.name)
        elif method.no_containers and peer.credentials.instance is not None:
            self._refuse(bus, peer, method.name)
        if not method.any_path and message.path != BUS_PATH:
            raise DBusError(
                errors.ACCESS_DENIED,
                f"Method '{method.name}' is only available at the canonical object path '{BUS_PATH}'",
            )
        if message.signature != method.inputs:
            raise DBusError(
                errors.INVALID_ARGS,
                f"Call to {method.name} has wrong args ({message.signature}, expected {method.inputs})\n",
            )

    def check_privileged(self, bus: Bus, peer: Peer, member: str) -> None:
        """Raise DBusError unless ``peer`` is of root or the bus's own user, and in no container."""
        if not peer.credentials.privileged:
            self._refuse(bus, peer, member)

    def _refuse(self, bus: Bus, peer: Peer, member: str) -> NoReturn:
        who = peer.credentials
        uid = "unknown uid" if who.uid is None else f"uid {who.uid}"
        what = f"with {uid}" if who.instance is None else "in container"
        text = f"rejected attempt to call {member} by connection {peer.unique_name} ({who.loginfo}) {what}"
        bus.log.security(text)
        raise DBusError(errors.ACCESS_DENIED, text)

    def _without_destination(self, message: Event) -> Method:
        """Return the method of a call without destination; in the reference the library answers these."""
        if message.interface != PEER_NAME:
            interface = "(null)" if message.interface is None else message.interface
            raise DBusError(
                errors.UNKNOWN_METHOD,
                f'Method "{message.member}" with signature "{message.signature}"'
                f' on interface "{interface}" doesn\'t exist\n',
            )
        method = PEER.method(message.member or "")
        if method is None:
            raise DBusError(errors.UNKNOWN_METHOD, f"Unknown method invoked on {PEER_NAME} interface")
        return method

    def _answered_below(self, method: Method) -> Reply:
        """Answer a call that the data plane should answer: a Ping without destination."""
        if method.outputs or method.inputs:
            raise DBusError(errors.FAILED, f"{method.name} can't be answered here")
        return Reply()
