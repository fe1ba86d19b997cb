"""Container instances in the state; their sockets and connections are in the data plane's sections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...transport.listener import OwnedFile as File
from ...transport.relay import Credentials
from ...transport.relay.state import StateError
from ..codec import read_body
from ..containers.instance import ContainerServer, Description, Instance
from ..guard import ignored
from ..signature import is_error_name
from .control import ContainerState, OwnedFile

if TYPE_CHECKING:
    from ..bus import Bus

SWEEP: float = 1.0
"""Seconds until all connections have been reported."""


def dump_containers(instances: Iterable[Instance]) -> tuple[ContainerState, ...]:
    """Return the state of all instances."""
    return tuple(map(_dump, instances))


def _dump(instance: Instance) -> ContainerState:
    about, who, server = instance.description, instance.credentials, instance.server
    return ContainerState(
        number=instance.number,
        type=about.type,
        name=about.name,
        metadata=about.metadata,
        creator=instance.creator,
        uid=instance.uid,
        pid=who.pid,
        gids=who.gids or (),
        label=who.label,
        address=None if server is None else server.address,
        guid="" if server is None else server.guid,
        files=() if server is None else tuple(OwnedFile(*vars(file).values()) for file in server.files),
    )


def restore_containers(bus: Bus, states: Iterable[ContainerState], number: int) -> None:
    """Go on with the instances; raises StateError. Without ``<containers>`` their servers stop."""
    instances = [_restore(one, number) for one in states]
    if len({one.number for one in instances}) < len(instances):
        raise StateError("control.containers: two have the same number")
    if not instances and bus.containers is None:
        return
    containers = bus.enable_containers()
    containers.restore(instances, number)
    # One whose last connection was lost just before the upgrade would stay for ever.
    bus.tools.later(SWEEP, containers.sweep, ignored)
    if not bus.settings.containers:
        for one in instances:
            containers.stop_listening(one)


def _restore(state: ContainerState, number: int) -> Instance:
    name = f"control.containers[{state.number}]"
    if not 0 <= state.number < number or not 0 <= state.uid < 2**32 - 1 or not is_error_name(state.type):
        raise StateError(f"{name}: it is no instance")
    try:
        read_body("a{sv}", state.metadata, False)
    except ValueError as error:
        raise StateError(f"{name}.metadata: {error}") from error
    server = None
    if state.address is not None:
        if not state.files:
            raise StateError(f"{name}.files: there are none")
        files = [File(*vars(file).values()) for file in state.files]
        server = ContainerServer(state.address, state.guid, files)
    who = Credentials(state.uid, state.pid, state.gids, label=state.label)
    description = Description(state.type, state.name, state.metadata)
    return Instance(state.number, state.creator, who, description, server)
