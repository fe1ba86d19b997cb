"""A group of the kernel, and how one is found: what is imported at every start, with a device or without."""

import os
from typing import Final

from ...record import Record

DEVICE: Final = "/dev/unix_multicast"


class Unavailable(Exception):
    """Messages can't go directly between clients; the text says why."""


class Group(Record):
    """A group that works; its descriptor belongs to whoever has it."""

    fd: int
    version: int
    max_members: int


def find_group(max_pending: int) -> Group:
    """Make a group in which a connection may have so many calls unanswered; raises Unavailable.

    Opening the device, and more than 1,024 members, may take rights that are given up later.
    """
    if not os.path.lexists(DEVICE):
        raise Unavailable(f"{DEVICE} is not there")
    from .probe import probe

    return probe(max_pending)
