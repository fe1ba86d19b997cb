"""Listeners: the sockets of one address, the address for clients, and the files to remove at the end."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from ..record import Record
from .address import Address, join


class ListenError(Exception):
    """The address can't be listened on now; the message is the reference's."""


class Surroundings(Record):
    """What listening depends on besides the address.

    ``environment`` has XDG_RUNTIME_DIR and TMPDIR. ``take_inherited`` hands over the descriptors that the
    service manager passed, which then belong to the caller; a second call returns none.
    """

    environment: Mapping[str, str]
    take_inherited: Callable[[], Sequence[int]]


def new_guid() -> str:
    """Make the GUID of an address: 96 random bits and the time (spec, "UUIDs")."""
    return os.urandom(12).hex() + f"{int(time.time()) & 0xFFFFFFFF:08x}"


class OwnedFile(Record):
    """A file that is removed with its listener, unless another has taken its place.

    ``device`` and ``inode`` identify it. ``with_directory``: the directory was made for it alone.
    """

    path: str
    device: int
    inode: int
    with_directory: bool = False

    @classmethod
    def at(cls, path: str, *, with_directory: bool = False) -> OwnedFile:
        """Describe the file that has just been made; raises OSError."""
        found = os.lstat(path)
        return cls(path, found.st_dev, found.st_ino, with_directory)

    def remove(self) -> None:
        """Unlink it as far as permissions still allow."""
        with suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                os.unlink(self.path)
                if self.with_directory:
                    os.rmdir(os.path.dirname(self.path))


class Listener:
    """Listening, non-blocking sockets and the addresses at which clients reach them.

    Sockets of the family AF_UNIX can pass descriptors. ``nonce`` is what a client has to send first, empty
    except for nonce-tcp. ``guid`` is sent to clients with OK; by default a new one. ``files`` are removed
    with it.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        addresses: Sequence[Address],
        *,
        nonce: bytes = b"",
        files: Sequence[OwnedFile] = (),
        guid: str | None = None,
    ) -> None:
        self.sockets = sockets
        self.addresses = addresses
        self.nonce = nonce
        self.guid = new_guid() if guid is None else guid
        self.files = files

    @property
    def connectable_address(self) -> str:
        """The address that clients connect to, GUID included."""
        return join(Address(one.transport, {**one.options, "guid": self.guid}) for one in self.addresses)

    def close(self) -> None:
        """Close the sockets, and unlink their files as far as permissions still allow."""
        for one in self.sockets:
            one.close()
        for file in self.files:
            file.remove()
