"""The kernel's group: whether messages go directly between clients, decided once at the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..policy.settings import Settings
from ..transport.multicast.group import Group, Unavailable, find_group


class Says(Protocol):
    """What writes a line."""

    def warning(self, text: str) -> None:
        """Say that the group is not to be had after all."""


class Takes(Protocol):
    """The data plane."""

    def set_group(self, fd: int, max_members: int, *, trust_everybody: bool) -> None:
        """Use a group, whose descriptor it closes even if it raises OSError."""


def choose_group(
    mode: str, max_pending: int, find: Callable[[int], Group] = find_group
) -> tuple[Group | None, str]:
    """Return a group, None if ``mode`` is off or there is none; and how messages go, and why.

    ``max_pending`` is how many calls a connection may have unanswered. Raises Unavailable if ``mode`` is
    require and there is none.
    """
    if mode == "off":
        return None, "through the relay: multicast is off"
    try:
        group = find(max_pending)
    except Unavailable as reason:
        if mode == "require":
            raise Unavailable(f"multicast is required: {reason}") from reason
        return None, f"through the relay: {reason}"
    how = f"unix_multicast version {group.version}, up to {group.max_members} members"
    return group, f"directly between clients: {how}"


def hand_over(group: Group, plane: Takes, settings: Settings, log: Says, *, required: bool) -> str | None:
    """Give the group to the data plane. If that has no use for it return how messages go instead, and why.

    Raises Unavailable if it is ``required``.
    """
    everybody = settings.multicast.trust == "everybody"
    try:
        plane.set_group(group.fd, group.max_members, trust_everybody=everybody)
    except OSError as error:
        if required:
            raise Unavailable(f"multicast is required: {error.strerror}") from error
        log.warning(f"Messages go through the relay after all: {error.strerror}")
        return f"through the relay: {error.strerror}"
    return None
