"""org.freedesktop.DBus.Containers1: servers for containers, and what is known of the connections to them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from .. import errors
from ..codec import Reader, Variant, has_descriptors, make_body, read_body
from ..containers.instance import Description, Instance
from ..containers.table import INTERFACE, Containers
from ..errors import DBusError
from ..signature import is_error_name
from .dbus import find_owner
from .method import Call, Interface, Method, Property, Reply, Signal

if TYPE_CHECKING:
    from ...transport.relay import Credentials
    from ..bus import Bus

METADATA: Final = "a{sv}"


def add_server(bus: Bus, call: Call) -> Reply:
    """AddServer(s type, s name, a{sv} metadata, a{sv} parameters) → o instance, ay path, s address.

    No parameters are supported yet. The path of the socket ends with a NUL.
    """
    containers = _containers(bus)
    instance = containers.add(call.peer, _description(containers, call))
    assert instance.server is not None
    return Reply((instance.path, os.fsencode(instance.server.path) + b"\0", instance.server.address))


def _description(containers: Containers, call: Call) -> Description:
    """Read the arguments of AddServer; what is too long is not looked into. Raises DBusError."""
    message = call.message
    reader = Reader(message.body_view, message.big_endian)
    kind, name = reader.value("s"), reader.value("s")
    if not is_error_name(kind):  # it has the syntax of an interface
        text = "The container type identifier must have the syntax of an interface name"
        raise DBusError(errors.INVALID_ARGS, text)
    begin = reader.at
    # As a variant of a{sv}, which dbus-daemon keeps.
    size = reader.array_end("{") - reader.at + len(make_body("v", (Variant(METADATA, {}),)))
    containers.check_metadata(call.peer, size + len(kind.encode()) + len(name.encode()))
    reader.at = begin
    metadata = reader.value(METADATA)
    if reader.array_end("{") > reader.at:
        reader.align(8)
        text = f"Named parameter {reader.value('s')} is not understood"
        raise DBusError(errors.INVALID_ARGS, text)
    if has_descriptors(metadata):
        raise DBusError(errors.INVALID_ARGS, "Container metadata can't have descriptors")
    return Description(kind, name, make_body(METADATA, (metadata,)))


def stop_instance(bus: Bus, call: Call) -> Reply:
    """StopInstance(o instance): its server stops, and its connections are closed."""
    _containers(bus).stop(_own_instance(bus, call))
    return Reply()


def stop_listening(bus: Bus, call: Call) -> Reply:
    """StopListening(o instance): its server stops; its connections stay."""
    _containers(bus).stop_listening(_own_instance(bus, call))
    return Reply()


def get_connection_instance(bus: Bus, call: Call) -> Reply:
    """GetConnectionInstance(s name) → o instance, a{sv} creator, s type, s name, a{sv} metadata."""
    (name,) = call.args
    owner = find_owner(bus, call, "container instance")
    if owner is None:
        raise DBusError(errors.NOT_CONTAINER, "The message bus is not in a container")
    path = owner.credentials.instance
    if path is None:
        raise DBusError(errors.NOT_CONTAINER, f"Connection '{name}' is not in a container")
    return Reply((path, *_info(_instance(bus, path))))


def get_instance_info(bus: Bus, call: Call) -> Reply:
    """GetInstanceInfo(o instance) → a{sv} creator, s type, s name, a{sv} metadata."""
    (path,) = call.args
    return Reply(_info(_instance(bus, path)))


def request_header(bus: Bus, call: Call) -> Reply:
    """RequestHeader(): from now on the caller's messages say which instance their sender belongs to."""
    bus.relay.name_instances(call.peer.id)
    return Reply()


def _containers(bus: Bus) -> Containers:
    assert bus.containers is not None  # otherwise there is no such interface
    return bus.containers


def _instance(bus: Bus, path: str) -> Instance:
    instance = _containers(bus).find(path)
    if instance is None:
        raise DBusError(errors.NOT_CONTAINER, f"There is no container with path '{path}'")
    return instance


def _own_instance(bus: Bus, call: Call) -> Instance:
    """Return the instance in the first argument, which the caller's user has to have made."""
    (path,) = call.args
    instance = _instance(bus, path)
    uid = call.peer.credentials.uid
    if uid is None:
        raise DBusError(errors.FAILED, "Unable to determine user ID of caller")
    if uid != instance.uid:
        text = f"User {uid} cannot stop a container server started by user {instance.uid}"
        raise DBusError(errors.ACCESS_DENIED, text)
    return instance


def _info(instance: Instance) -> tuple[Any, ...]:
    about = instance.description
    (metadata,) = read_body(METADATA, about.metadata, False)
    return _credentials(instance.credentials), about.type, about.name, metadata


def _credentials(who: Credentials) -> dict[str, Variant]:
    """Return credentials as GetConnectionCredentials has them, which works after the connection has gone."""
    found = {}
    if who.pid is not None:
        found["ProcessID"] = Variant("u", who.pid)
    if who.uid is not None:
        found["UnixUserID"] = Variant("u", who.uid)
    if who.gids:
        found["UnixGroupIDs"] = Variant("au", sorted(set(who.gids)))
    if who.label:
        found["LinuxSecurityLabel"] = Variant("ay", who.label + b"\0")
    return found


def _supported_arguments(bus: Bus) -> Any:
    return []


CONTAINERS: Final = Interface(
    INTERFACE,
    (
        Method("AddServer", "ssa{sv}a{sv}", "oays", add_server, any_path=False, no_containers=True),
        Method("StopInstance", "o", "", stop_instance, any_path=False, no_containers=True),
        Method("StopListening", "o", "", stop_listening, any_path=False, no_containers=True),
        Method("GetConnectionInstance", "s", "oa{sv}ssa{sv}", get_connection_instance, any_path=False),
        Method("GetInstanceInfo", "o", "a{sv}ssa{sv}", get_instance_info, any_path=False),
        Method("RequestHeader", "", "", request_header, any_path=False),
    ),
    properties=(Property("SupportedArguments", "as", _supported_arguments),),
    signals=(Signal("InstanceRemoved", (("path", "o"),)),),
    any_path=False,
    listed=True,
)
