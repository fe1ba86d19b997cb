"""org.freedesktop.DBus: names, their owners, and the credentials of owners."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ...transport.relay import Module
from .. import errors
from ..codec import STRINGS_AT_ONCE
from ..errors import DBusError
from .method import BUS_NAME, Call, Interface, Method, Property, Reply, Signal

if TYPE_CHECKING:
    from ..bus import Bus
    from ..peers import Peer


def hello(bus: Bus, call: Call) -> None:
    """Hello() → s: the connection gets its unique name and becomes active."""
    if call.peer.active:
        raise DBusError(errors.FAILED, "Already handled an Hello message")
    bus.peers.check_limits(call.peer)
    bus.relay.welcome(call.peer.id, call.serial)
    call.answered(resumed=True)
    bus.activate(call.peer)


def request_name(bus: Bus, call: Call) -> Reply:
    """RequestName(s name, u flags) → u: see RequestReply. The data plane has refused what may not be."""
    name, flags = call.args
    before, claims = bus.names.queue(name), bus.names.places(name)
    reply, queue = bus.names.request(name, call.peer.id, flags)
    if queue != before:
        bus.state_queue(name, queue)
        bus.activation.name_acquired(name)
    elif claims != bus.names.places(name):
        bus.state_queue(name, queue)
    return Reply((int(reply),))


def release_name(bus: Bus, call: Call) -> Reply:
    """ReleaseName(s name) → u: see ReleaseReply. The data plane has refused what may not be."""
    (name,) = call.args
    before = bus.names.queue(name)
    reply, queue = bus.names.release(name, call.peer.id)
    if queue != before:
        bus.state_queue(name, queue)
    return Reply((int(reply),))


def start_service_by_name(bus: Bus, call: Call) -> None:
    """StartServiceByName(s name, u flags) → u: 1 started, 2 already running."""
    bus.activation.start_by_name(call)


def list_activatable_names(bus: Bus, call: Call) -> None:
    """ListActivatableNames() → as."""
    bus.activation.list_names(call)


def list_queued_owners(bus: Bus, call: Call) -> Reply:
    """ListQueuedOwners(s name) → as: unique names, the owner first."""
    (name,) = call.args
    if name == BUS_NAME:
        return Reply(([BUS_NAME],))
    owner = bus.owner(name)
    if owner is None:
        raise DBusError(errors.NAME_HAS_NO_OWNER, f"Could not get owners of name '{name}': no such name")
    queue = bus.names.queue(name) or (owner.id,)
    return Reply(([bus.peers[peer].unique_name for peer in queue],))


def get_adt_audit_session_data(bus: Bus, call: Call) -> NoReturn:
    """GetAdtAuditSessionData(s name) → ay: for Solaris only."""
    find_owner(bus, call, "audit session data")
    raise DBusError(
        errors.ADT_AUDIT_DATA_UNKNOWN, f"Could not determine audit session data for '{call.args[0]}'"
    )


def get_connection_selinux_security_context(bus: Bus, call: Call) -> Reply:
    """GetConnectionSELinuxSecurityContext(s name) → ay: an error unless SELinux mediates the bus."""
    owner = find_owner(bus, call, "security context")
    if Module.SELinux in bus.relay.mediated:
        return Reply((_own_context() if owner is None else owner.credentials.label,))
    raise DBusError(
        errors.SELINUX_SECURITY_CONTEXT_UNKNOWN, f"Could not determine security context for '{call.args[0]}'"
    )


def _own_context() -> bytes:
    with open("/proc/self/attr/current", "rb") as file:
        return file.read().rstrip(b"\0")


def update_activation_environment(bus: Bus, call: Call) -> None:
    """UpdateActivationEnvironment(a{ss}): variables for the services that are started from now on."""
    if bus.is_system:
        raise DBusError(errors.ACCESS_DENIED, "Cannot change activation environment on a system bus.")
    bus.in_steps(call, _update_environment(bus, call))


def _update_environment(bus: Bus, call: Call) -> Iterator[None]:
    variables: dict[str, str] = {}
    for texts in call.strings(pairs=True):
        variables |= zip(texts[::2], texts[1::2], strict=True)
        if len(texts) == STRINGS_AT_ONCE:
            yield
    bus.activation.update_environment(variables)
    call.reply()


def reload_config(bus: Bus, call: Call) -> None:
    """ReloadConfig(): answered once the new configuration is in force or rejected."""
    bus.reload(call)


def find_owner(bus: Bus, call: Call, what: str) -> Peer | None:
    """Return the owner of the name in the first argument, None for the bus itself."""
    name: str = call.args[0]
    if name == BUS_NAME:
        return None
    owner = bus.owner(name)
    if owner is None:
        raise DBusError(errors.NAME_HAS_NO_OWNER, f"Could not get {what} of name '{name}': no such name")
    return owner


def _features(bus: Bus) -> Any:
    features = ["ActivatableServicesChanged", "HeaderFiltering"]
    features += [name for module in bus.relay.mediated if (name := module.name)]
    if bus.systemd_activation:
        features.append("SystemdActivation")
    return sorted(features)


def _interfaces(bus: Bus) -> Any:
    return [interface.name for interface in bus.driver.interfaces if interface.listed]


DBUS: Final = Interface(
    BUS_NAME,
    (
        Method("Hello", "", "s", hello),
        Method("RequestName", "su", "u", request_name),
        Method("ReleaseName", "s", "u", release_name),
        Method("StartServiceByName", "su", "u", start_service_by_name),
        Method(
            "UpdateActivationEnvironment",
            "a{ss}",
            "",
            update_activation_environment,
            any_path=False,
            privileged=True,
        ),
        Method("NameHasOwner", "s", "b", None),
        Method("ListNames", "", "as", None),
        Method("ListActivatableNames", "", "as", list_activatable_names),
        Method("AddMatch", "s", "", None),
        Method("RemoveMatch", "s", "", None),
        Method("GetNameOwner", "s", "s", None),
        Method("ListQueuedOwners", "s", "as", list_queued_owners),
        Method("GetConnectionUnixUser", "s", "u", None),
        Method("GetConnectionUnixProcessID", "s", "u", None),
        Method("GetAdtAuditSessionData", "s", "ay", get_adt_audit_session_data),
        Method("GetConnectionSELinuxSecurityContext", "s", "ay", get_connection_selinux_security_context),
        Method("ReloadConfig", "", "", reload_config),
        Method("GetId", "", "s", None),
        Method("GetConnectionCredentials", "s", "a{sv}", None),
    ),
    properties=(Property("Features", "as", _features), Property("Interfaces", "as", _interfaces)),
    signals=(
        Signal("NameOwnerChanged", ((None, "s"), (None, "s"), (None, "s"))),
        Signal("NameLost", ((None, "s"),)),
        Signal("NameAcquired", ((None, "s"),)),
        Signal("ActivatableServicesChanged"),
    ),
)
