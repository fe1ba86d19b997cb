"""One container instance."""

from __future__ import annotations

from collections.abc import Sequence

from ...record import Record
from ...transport.listener import OwnedFile
from ...transport.relay import Credentials

PATH_PREFIX = "/org/freedesktop/DBus/Containers1/c"
FIRST_DOOR = 2**16
"""The numbers of listening sockets that are servers of instances, for the data plane."""
DOORS = 2**32 - FIRST_DOOR


class Description(Record):
    """What the manager says of an instance.

    ``type``: the technology, with the syntax of an interface; ``name``: as the manager names it;
    ``metadata``: a marshalled a{sv}, in little endian.
    """

    type: str
    name: str
    metadata: bytes


class ContainerServer(Record):
    """The listening socket of an instance; the socket itself is the data plane's."""

    address: str
    guid: str
    files: Sequence[OwnedFile]

    @property
    def path(self) -> str:
        """The path of the socket."""
        return self.files[0].path

    def remove(self) -> None:
        """Unlink the socket."""
        for file in self.files:
            file.remove()


class Instance:
    """One instance; ``creator`` is the id of its manager's connection, ``credentials`` are the manager's.

    ``server`` is None once it has stopped. ``connections``: the ids of all that came through it, in their
    handshake or after it.
    """

    __slots__ = ("connections", "creator", "credentials", "description", "number", "server")

    def __init__(
        self,
        number: int,
        creator: int,
        credentials: Credentials,
        description: Description,
        server: ContainerServer | None,
    ) -> None:
        self.number = number
        self.creator = creator
        self.credentials = credentials
        self.description = description
        self.server = server
        self.connections: set[int] = set()

    @property
    def path(self) -> str:
        """The object path, which identifies it."""
        return f"{PATH_PREFIX}{self.number}"

    @property
    def door(self) -> int:
        """The number of its listening socket; one is used again after 2³² others."""
        return FIRST_DOOR + self.number % DOORS

    @property
    def uid(self) -> int:
        """The user of the manager, and of every connection."""
        assert self.credentials.uid is not None  # AddServer has refused others
        return self.credentials.uid

    @property
    def label(self) -> str:
        """Its type and name for the log and for errors, in printable ASCII."""
        about = self.description
        return f'{about.type}="{"".join(one if " " <= one <= "~" else "?" for one in about.name)}"'

    @property
    def is_over(self) -> bool:
        """True if nothing is left of it."""
        return self.server is None and not self.connections

    def contain(self, credentials: Credentials) -> Credentials:
        """Return the credentials of a connection that belongs to it."""
        loginfo = f"{credentials.loginfo} container={self.path} {self.label}"
        return credentials.replace(privileged=False, instance=self.path, loginfo=loginfo)
