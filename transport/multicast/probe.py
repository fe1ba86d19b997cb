"""The probe of the kernel's groups: makes one, and sends a message through it."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from .group import DEVICE, Group, Unavailable
from .uapi import EGRESS, VERSION, Uapi, unicast

# The default limit for unprivileged owners is 1,024.
MEMBERS: Final = (4096, 1024, 256, 64)
MAX_PENDING: Final = 65536  # the kernel's maximum
MESSAGE: Final = b"Does this go directly?"
INDEX: Final = 0
STRANGERS: Final = 16
PEER_CREDENTIALS: Final = struct.Struct("iII")


def probe(max_pending: int, uapi: Uapi | None = None, *, selinux: bool = False) -> Group:
    """Make a group and send a message through it, without blocking; raises Unavailable.

    ``selinux``: as of ``find_group``. Then no message is sent: whether this process may send to itself is
    for the policy to say.
    """
    uapi = uapi or Uapi()
    with _step(f"{DEVICE} can't be opened"):
        device = uapi.open()
    try:
        with _step(f"{DEVICE} does not tell its version"):
            version = uapi.version(device)
        if version != VERSION:
            raise Unavailable(f"unix_multicast has version {version}, and version {VERSION} is needed")
        fd, max_members = _create(uapi, device, min(max_pending, MAX_PENDING))
    finally:
        os.close(device)
    try:
        if selinux:
            _try_to_watch(uapi, fd)
        _try_out(uapi, fd, exchange=not selinux)
    except BaseException:
        os.close(fd)
        raise
    return Group(fd, version, max_members)


@contextmanager
def _step(failure: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{failure}: {error.strerror or error}") from error


def _create(uapi: Uapi, device: int, max_pending: int) -> tuple[int, int]:
    """Return a group and its maximum number of members."""
    with _step("No group can be made"):
        for members in MEMBERS[:-1]:
            try:
                return uapi.create(device, max_members=members, max_pending=max_pending), members
            except PermissionError:
                continue  # above the limit for unprivileged owners
        return uapi.create(device, max_members=MEMBERS[-1], max_pending=max_pending), MEMBERS[-1]


def _try_to_watch(uapi: Uapi, group: int) -> None:
    with _step("The group does not tell what can stop it"):
        if not uapi.can_watch(group):
            raise Unavailable("this unix_multicast is not stopped by another SELinux policy")


def _try_out(uapi: Uapi, group: int, *, exchange: bool) -> None:
    """Send a message from a member to itself, if wanted; leave the group as it was."""
    with ExitStack() as stack:
        with _step("A connection to try it with can't be made"):
            listener, client, accepted = _connect(stack)
        with _step("A connection can't be added to the group"):
            uapi.add(group, INDEX, listener=listener.fileno(), accepted=accepted.fileno())
        with _step("A filter is refused"):
            uapi.set_filter(group, INDEX, EGRESS, [unicast(INDEX)])
        with _step("A member can't be released"):
            released = uapi.release(group, INDEX)
        if not released:
            raise Unavailable("A member that has sent nothing can't be released")
        if exchange:
            _exchange(client)
        with _step("A member can't be removed from the group"):
            uapi.remove(group, INDEX)
            uapi.forget(group, INDEX)


def _connect(stack: ExitStack) -> tuple[socket.socket, socket.socket, socket.socket]:
    """Connect to a socket at an autobound address, to which other processes can connect, too."""
    listener, client = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
    for one in (listener, client):
        one.setblocking(False)
    listener.bind("")
    listener.listen(STRANGERS)
    client.connect(listener.getsockname())
    for _ in range(STRANGERS):
        accepted = stack.enter_context(listener.accept()[0])
        if _pid_of_peer(accepted) == os.getpid():
            return listener, client, accepted
    raise Unavailable("A connection to try it with can't be made: others are in the way")


def _pid_of_peer(connection: socket.socket) -> int:
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
    return int(PEER_CREDENTIALS.unpack(found)[0])


def _exchange(client: socket.socket) -> None:
    with _step("A message can't be sent by a member"):
        client.send(MESSAGE, socket.MSG_NOSIGNAL)
    try:
        received = client.recv(len(MESSAGE) + 1)
    except BlockingIOError:
        raise Unavailable("A message that should go directly does not") from None
    except OSError as error:
        raise Unavailable(f"A message can't be received by a member: {error.strerror}") from error
    if received != MESSAGE:
        raise Unavailable("A message that goes directly arrives as another")
