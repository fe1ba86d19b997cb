"""The choice between the kernel's group and the relay for messages between clients.

It is made at the start. An upgrade dissolves the group before it freezes the bus, a standby does so after a
crash; then another one begins.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..policy.settings import Settings
from ..transport.multicast.group import Group, Unavailable, find_group
from ..transport.relay import Module

if TYPE_CHECKING:
    from ..transport.relay import Relay
    from .logging import Log


def choose_group(
    mode: str, max_pending: int, find: Callable[[int], Group] = find_group, *, containers: bool = False
) -> tuple[Group | None, str]:
    """Return a group, None if ``mode`` is off or there is none; and a phrase on the way of messages.

    ``max_pending`` is the maximum of pending calls per connection. ``containers``: Containers1 is offered,
    beside which there is no group. Raises Unavailable if ``mode`` is require and there is no group.
    """
    if mode == "off":
        return None, "through the relay: multicast is off"
    try:
        if containers:
            raise Unavailable("containers are on")
        group = find(max_pending)
    except Unavailable as reason:
        if mode == "require":
            raise Unavailable(f"multicast is required: {reason}") from reason
        return None, f"through the relay: {reason}"
    how = f"unix_multicast version {group.version}, up to {group.max_members} members"
    return group, f"directly between clients: {how}"


def finder(modules: Module) -> Callable[[int], Group]:
    """Return what finds a group for a bus that the modules mediate.

    What goes directly no module is asked about. Another policy of SELinux stops the group before it is in
    force; of a bus that AppArmor mediates those alone are members that it does not confine.
    """
    return partial(find_group, selinux=Module.SELinux in modules)


def begin_again(
    mode: str, settings: Settings, relay: Relay, log: Log, find: Callable[[int], Group] = find_group
) -> tuple[Group | None, str]:
    """Give a data plane that is serving a new group; return as ``choose_group``.

    Without one everything is relayed, also if ``mode`` is require: clients are connected by now.
    """
    try:
        max_pending = settings.limits.max_replies_per_connection
        group, way = choose_group(mode, max_pending, find, containers=settings.containers)
    except Unavailable as reason:
        log.warning(f"Messages go through the relay: {reason}")
        return None, f"through the relay: {reason}"
    if group is not None:
        trust_all = settings.multicast.trust == "everybody"
        relay.begin_group(group.fd, group.max_members, trust_everybody=trust_all)
    return group, way


def hand_over(group: Group, relay: Relay, settings: Settings, log: Log, *, required: bool) -> str | None:
    """Hand the group to the data plane; return None, or a phrase on the way of messages without it.

    Raises Unavailable if a group is ``required``.
    """
    trust_all = settings.multicast.trust == "everybody"
    try:
        relay.set_group(group.fd, group.max_members, trust_everybody=trust_all)
    except OSError as error:
        if required:
            raise Unavailable(f"multicast is required: {error.strerror}") from error
        log.warning(f"Messages go through the relay after all: {error.strerror}")
        return f"through the relay: {error.strerror}"
    return None
