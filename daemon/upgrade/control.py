"""The control plane's tables as they are written into the state, apart from the names.

Times are seconds of CLOCK_MONOTONIC, which goes on across execve(2). Descriptors are numbers, each with the
device and the inode that fstat(2) has to show.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from ...policy.settings import Settings
from ...record import Record
from ...transport.relay.state import StateError
from .plain import Known, read, write

VERSION: Final = 1
"""Increased whenever a program of the version before could not read what is written here."""


class Descriptor(Record):
    """An open descriptor, and what identifies its file."""

    fd: int
    device: int
    inode: int

    @classmethod
    def of(cls, fd: int) -> Descriptor:
        """Describe an open descriptor; raises OSError."""
        found = os.fstat(fd)
        return cls(fd, found.st_dev, found.st_ino)

    def check(self, name: str) -> None:
        """Raise StateError unless it is open and the same file; ``name`` is its field."""
        if not 0 <= self.fd < 2**31:
            raise StateError(f"{name}.fd: {self.fd} is no descriptor")
        try:
            found = os.fstat(self.fd)
        except OSError as error:
            raise StateError(f"{name}.fd: {self.fd}: {error.strerror}") from error
        if (found.st_dev, found.st_ino) != (self.device, self.inode):
            raise StateError(f"{name}.inode: descriptor {self.fd} is another file")


class OwnedFile(Record):
    """A file to remove at the end, as in ``transport/listener.py``."""

    path: str
    device: int
    inode: int
    with_directory: bool


class ListenerState(Record):
    """A listener. ``addresses``: its addresses as text; ``announced``: printed, and told to services."""

    sockets: tuple[Descriptor, ...]
    addresses: str
    nonce: bytes
    guid: str
    files: tuple[OwnedFile, ...]
    announced: bool


class ContainerState(Record):
    """A container instance, without its connections. ``address``: of its server, None once that has stopped.

    ``guid`` and ``files`` are the server's; ``uid`` to ``label`` the credentials of its manager's connection,
    whose id ``creator`` is.
    """

    number: int
    type: str
    name: str
    metadata: bytes
    creator: int
    uid: int
    pid: int | None
    gids: tuple[int, ...]
    label: bytes
    address: str | None
    guid: str
    files: tuple[OwnedFile, ...]


class MetadataState(Record):
    """What a connection says of itself: marshalled a{sv}."""

    peer: int
    body: bytes


class WaitingCall(Record):
    """A call of StartServiceByName that waits for a start, and whose sender goes on."""

    peer: int
    serial: int


class WaitingMessage(Record):
    """A message of the bus to the owner of the name, as in ``activation/waiters.py``."""

    type: int
    destination: str
    path: str
    interface: str
    member: str
    signature: str
    body: bytes
    audience: int


class ServiceState(Record):
    """The keys of the service file that a start was begun with."""

    path: str
    exec: str
    user: str | None
    systemd_service: str | None
    assumed_apparmor_label: str | None


class StartState(Record):
    """A start under way, which fails at ``deadline``.

    ``child``: the pid of its program, if one runs; ``transient``: the unit in which systemd runs it instead.
    """

    name: str
    deadline: float
    service: ServiceState | None
    child: int | None
    calls: tuple[WaitingCall, ...]
    messages: tuple[WaitingMessage, ...]
    transient: str | None = None


class UnitWatch(Record):
    """A unit that is watched; ``since`` in microseconds; ``transient``: the bus has made it."""

    unit: str
    since: int
    pause: float
    transient: bool = False


class Request(Record):
    """The call of Upgrade that is to be answered, if a call has asked."""

    peer: int
    serial: int


class Control(Record):
    """All of it.

    ``version``: the omnibus that writes it; ``frozen``: when clients were served last;
    ``connections``: how many there are; ``looked_up``: the names whose services are being looked up;
    ``children``: the pids of all programs that the bus has to reap; ``unit_serial``: of the latest call to
    systemd; ``bus_replies`` and ``connection_replies``: the numbers of the next replies with statistics;
    ``settings``: used if the configuration can't be read; ``forked``: no parent waits for the process;
    ``next_container``: the number of the next instance.
    """

    version: str
    frozen: float
    connections: int
    request: Request | None
    config_file: str
    omnibus_config: str | None
    pidfile: str | None
    old_fd_limit: tuple[int, int] | None
    environment: Mapping[str, str]
    listeners: tuple[ListenerState, ...]
    starts: tuple[StartState, ...]
    looked_up: tuple[str, ...]
    children: tuple[int, ...]
    unit_serial: int
    units: tuple[UnitWatch, ...]
    bus_replies: int
    connection_replies: int
    settings: Settings
    forked: bool = False
    containers: tuple[ContainerState, ...] = ()
    next_container: int = 0
    metadata: tuple[MetadataState, ...] = ()

    def encode(self, known: Known | None = None) -> bytes:
        """Return the content of the section; ``known``: the settings, if they were prepared."""
        return write(self, known)

    @classmethod
    def decode(cls, data: bytes) -> Control:
        """Return what ``encode`` has written; raises StateError, also for references that lead nowhere."""
        control = read(cls, data, "control")
        names = [one.name for one in control.starts]
        if len(set(names)) < len(names):
            raise StateError("control.starts: two have the same name")
        pids = [one.child for one in control.starts if one.child is not None]
        for pid in (*pids, *control.children):
            if not 0 < pid < 2**31 or pid not in control.children:
                raise StateError(f"control.children: {pid} is no child")
        return control

    def descriptors(self) -> list[tuple[str, Descriptor]]:
        """Return all descriptors, each with the name of its field."""
        return [
            (f"control.listeners[{n}].sockets[{m}]", one)
            for n, listener in enumerate(self.listeners)
            for m, one in enumerate(listener.sockets)
        ]
