"""The control plane's objects: their state is taken, and put back into those of another program."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from ... import __version__
from ...transport.address import AddressError, join, parse
from ...transport.listener import Listener
from ...transport.listener import OwnedFile as File
from ...transport.relay.state import StateError
from ..activation.units import WatchedUnit
from ..codec import read_body
from ..guard import ignored
from .containers import dump_containers, restore_containers
from .control import Control, Descriptor, ListenerState, MetadataState, OwnedFile, Request, UnitWatch
from .starts import dump_starts, restore_starts

if TYPE_CHECKING:
    from ..activation.spawner import Spawner
    from ..bus import Bus
    from ..startup import Startup


class Tables:
    """The objects of one running bus."""

    def __init__(self, startup: Startup, bus: Bus, spawner: Spawner) -> None:
        self._startup = startup
        self._bus = bus
        self._spawner = spawner

    def dump(self, frozen: float, request: Request | None) -> Control:
        """Return the state as it is now; raises OSError if a listening socket is closed."""
        startup, bus = self._startup, self._bus
        activation = bus.activation
        return Control(
            version=__version__,
            frozen=frozen,
            connections=len(bus.peers),
            request=request,
            config_file=startup.config_file,
            omnibus_config=startup.omnibus_config,
            pidfile=startup.pidfile,
            old_fd_limit=startup.old_fd_limit,
            environment=bus.activation.environment.variables,
            listeners=tuple(_listener(one, one in startup.announced) for one in startup.listeners),
            starts=dump_starts(activation),
            looked_up=tuple(start.name for start in activation.starts if not start.running),
            children=tuple(self._spawner.children),
            unit_serial=activation.units.serial,
            units=tuple(
                UnitWatch(one.unit, one.since, one.pause, one.transient) for one in activation.units.watched
            ),
            bus_replies=bus.statistics.bus_replies,
            connection_replies=bus.statistics.connection_replies,
            settings=bus.settings,
            forked=startup.forked,
            containers=() if bus.containers is None else dump_containers(bus.containers),
            next_container=0 if bus.containers is None else bus.containers.next,
            metadata=tuple(MetadataState(one.id, one.metadata) for one in bus.peers if one.metadata),
        )

    def restore(self, control: Control) -> None:
        """Go on with the state of the previous program; raises StateError or OSError.

        The names are restored before, and the environment and the listeners by the start.
        """
        bus, activation = self._bus, self._bus.activation
        bus.statistics.bus_replies = control.bus_replies
        bus.statistics.connection_replies = control.connection_replies
        for name in control.looked_up:
            # Whatever waits for it is handed up again, and begins anew.
            bus.relay.await_name(name, False)
        restore_starts(activation, bus.relay, bus.peers, control.starts)
        restore_containers(bus, control.containers, control.next_container)
        bus.restored_metadata = metadata_of(control.metadata)
        watches = [
            WatchedUnit(one.unit, one.since, one.pause, transient=one.transient) for one in control.units
        ]
        activation.units.restore(control.unit_serial, watches)
        of_starts = {one.child for one in control.starts}
        for pid in control.children:
            if pid not in of_starts:
                bus.guard.run(partial(self._spawner.adopt, pid, ignored, ignored), ignored)


def _listener(listener: Listener, announced: bool) -> ListenerState:
    return ListenerState(
        tuple(Descriptor.of(one.fileno()) for one in listener.sockets),
        join(listener.addresses),
        listener.nonce,
        listener.guid,
        tuple(OwnedFile(*vars(file).values()) for file in listener.files),
        announced,
    )


def metadata_of(states: Iterable[MetadataState]) -> dict[int, bytes]:
    """Return metadata by connections; raises StateError."""
    for one in states:
        try:
            read_body("a{sv}", one.body, False)
        except ValueError as error:
            raise StateError(f"control.metadata[{one.peer}]: {error}") from error
    return {one.peer: one.body for one in states}


def restore_listeners(control: Control) -> list[Listener]:
    """Return the listeners on their old sockets, whose descriptors have been checked; raises StateError."""
    found = []
    for at, one in enumerate(control.listeners):
        try:
            addresses = parse(one.addresses)
        except AddressError as error:
            raise StateError(f"control.listeners[{at}].addresses: {error}") from error
        sockets = [socket.socket(fileno=descriptor.fd) for descriptor in one.sockets]
        for sock in sockets:
            os.set_inheritable(sock.fileno(), False)
        files = [File(*vars(file).values()) for file in one.files]
        found.append(Listener(sockets, addresses, nonce=one.nonce, guid=one.guid, files=files))
    return found
