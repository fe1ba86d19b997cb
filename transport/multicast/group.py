"""A kernel group, and the check for the device; imported at every start."""

import os
from typing import Final

from ...record import Record

DEVICE: Final = "/dev/unix_multicast"


class Unavailable(Exception):
    """The kernel can't deliver messages between clients; the text is the reason."""


class Group(Record):
    """A working group; its descriptor belongs to the holder of this record."""

    fd: int
    version: int
    max_members: int


def find_group(max_pending: int, *, selinux: bool = False) -> Group:
    """Make a group with at most ``max_pending`` pending calls per connection; raises Unavailable.

    ``selinux``: it has to stop as soon as another policy of SELinux is announced.

    Opening the device and more than 1,024 members may need privileges that are dropped later.
    """
    if not os.path.lexists(DEVICE):
        raise Unavailable("this system has no unix_multicast")
    from .probe import probe

    return probe(max_pending, selinux=selinux)
