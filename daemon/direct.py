"""Whether messages go directly between clients: decided once, at the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..policy.settings import Settings
from ..transport.multicast.group import Group, Unavailable, find_group


class Says(Protocol):
    """Who writes a line."""

    def info(self, text: str) -> None:
        """Say what was chosen."""

    def warning(self, text: str) -> None:
        """Say that it is not to be had."""


class Takes(Protocol):
    """The data plane."""

    def set_group(self, fd: int, max_members: int, *, trust_everybody: bool) -> None:
        """Use a group, whose descriptor it closes even if it raises OSError."""


def choose_group(
    mode: str, max_pending: int, log: Says, find: Callable[[int], Group] = find_group
) -> Group | None:
    """Return a group unless ``mode`` is off or there is none, and say so in one line.

    ``max_pending`` is how many calls a connection may have unanswered. Raises Unavailable if ``mode`` is
    require and there is none.
    """
    if mode == "off":
        log.info("Messages go through the relay: multicast is off")
        return None
    try:
        group = find(max_pending)
    except Unavailable as reason:
        if mode == "require":
            raise Unavailable(f"multicast is required: {reason}") from reason
        log.info(f"Messages go through the relay: {reason}")
        return None
    log.info(
        "Messages go directly between clients: "
        f"unix_multicast version {group.version}, up to {group.max_members} members"
    )
    return group


def hand_over(group: Group, plane: Takes, settings: Settings, log: Says, *, required: bool) -> None:
    """Give the group to the data plane. If that has no use for it everything is relayed.

    Raises Unavailable if it is ``required``.
    """
    everybody = settings.multicast.trust == "everybody"
    try:
        plane.set_group(group.fd, group.max_members, trust_everybody=everybody)
    except OSError as error:
        if required:
            raise Unavailable(f"multicast is required: {error.strerror}") from error
        log.warning(f"Messages go through the relay after all: {error.strerror}")
