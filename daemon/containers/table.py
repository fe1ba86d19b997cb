"""All container instances of a bus, the limits on them, and their end."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

from ...transport.address import Address
from ...transport.listener import ListenError, Surroundings
from ...transport.relay import BROADCAST
from ...transport.unix import listen
from .. import errors
from ..codec import make_body
from ..driver.method import BUS_PATH
from ..errors import DBusError
from .directory import socket_directory
from .instance import ContainerServer, Description, Instance

if TYPE_CHECKING:
    from ..bus import Bus
    from ..peers import Peer

INTERFACE: Final = "org.freedesktop.DBus.Containers1"
MAX_NUMBER: Final = 2**64 - 1

_NAMES: Final = {
    errno.ENOENT: errors.FILE_NOT_FOUND,
    errno.EACCES: errors.ACCESS_DENIED,
    errno.EPERM: errors.ACCESS_DENIED,
    errno.ENOMEM: errors.NO_MEMORY,
}


class Containers:
    """The instances; ``next`` is the number of the next one."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._by_path: dict[str, Instance] = {}
        self._listening: dict[int, Instance] = {}  # by the number of the socket
        self._created: dict[int, set[Instance]] = {}  # by the manager's connection, while they listen
        self._of_user: Counter[int] = Counter()
        self.next = 0

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._by_path.values())

    def find(self, path: str) -> Instance | None:
        """Return the instance with this path."""
        return self._by_path.get(path)

    def check_metadata(self, creator: Peer, size: int) -> None:
        """Raise DBusError if the description of an instance, of this many bytes, is too long."""
        limit = self._bus.limits.max_container_metadata_bytes
        if size > limit:
            self._refuse(creator, f"set {size} bytes of container metadata", "max_container_metadata_bytes")

    def add(self, creator: Peer, description: Description) -> Instance:
        """Make an instance with a server; raises DBusError. The size of the description has been checked."""
        limits, uid = self._bus.limits, creator.credentials.uid
        if uid is None:
            raise DBusError(errors.FAILED, "Unable to determine user ID of caller")
        if len(self._by_path) >= limits.max_containers:
            self._refuse(creator, "create more container servers", "max_containers")
        if self._of_user[uid] >= limits.max_containers_per_user:
            self._refuse(creator, f"create more container servers for uid {uid}", "max_containers_per_user")
        if self.next >= MAX_NUMBER:
            text = "Too many containers created during the lifetime of this bus"
            raise DBusError(errors.LIMITS_EXCEEDED, text)
        instance = Instance(self.next, creator.id, creator.credentials, description, None)
        self.next += 1
        instance.server = self._listen(instance.door)
        self._enter(instance)
        self._bus.changed = True
        return instance

    def _refuse(self, creator: Peer, what: str, limit: str) -> NoReturn:
        who = f'Connection "{creator.unique_name}" ({creator.credentials.loginfo})'
        text = f"{who} is not allowed to {what} ({limit}={getattr(self._bus.limits, limit)})"
        self._bus.log.recurrent(limit, text)
        raise DBusError(errors.LIMITS_EXCEEDED, text)

    def _listen(self, door: int) -> ContainerServer:
        """Return the server; the data plane accepts from its socket."""
        bus = self._bus
        # As root or as the user that the configuration gives to it, before or after it has become that.
        for_all = bus.settings.user is not None or os.geteuid() == 0
        try:
            directory = socket_directory(os.environ, for_all=for_all)
            listener = listen(Address("unix", {"dir": directory}), Surroundings({}, tuple))
        except (ListenError, OSError) as error:
            why = error.__cause__
            name = _NAMES.get(why.errno or 0) if isinstance(why, OSError) else None
            raise DBusError(name or errors.FAILED, str(error)) from error
        server = ContainerServer(listener.connectable_address, listener.guid, listener.files)
        (sock,) = listener.sockets
        with sock:
            try:
                if not server.files:
                    raise DBusError(errors.FAILED, "The socket is gone")
                bus.relay.listen(sock.fileno(), door, server.guid, simple=False, only_external=True)
            except Exception:
                server.remove()
                raise
        return server

    def _enter(self, instance: Instance) -> None:
        self._by_path[instance.path] = instance
        self._of_user[instance.uid] += 1
        if instance.server is not None:
            self._listening[instance.door] = instance
            self._created.setdefault(instance.creator, set()).add(instance)

    def accept(self, door: int) -> Instance | None:
        """Return the instance that a new connection belongs to; None: it is to be closed."""
        instance = self._listening.get(door)
        if instance is None:
            return None
        limit = self._bus.limits.max_connections_per_container
        if len(instance.connections) >= limit:
            self._bus.log.recurrent(
                "max_connections_per_container",
                f"Closing connection to container server {instance.path} ({instance.label})"
                f" because it would exceed resource limit (max_connections_per_container={limit})",
            )
            return None
        return instance

    def lost(self, instance: Instance, peer: int) -> None:
        """Note that a connection of an instance is gone, whether it has authenticated or not; idempotent."""
        instance.connections.discard(peer)
        self._end(instance)

    def gone(self, peer: Peer) -> None:
        """Note that a connection is gone: a manager, one of an instance, or any other."""
        for instance in self._created.pop(peer.id, ()):
            self.stop_listening(instance)
        own = self._of(peer)
        if own is not None:
            self.lost(own, peer.id)

    def _of(self, peer: Peer) -> Instance | None:
        path = peer.credentials.instance
        return None if path is None else self.find(path)

    def stop_listening(self, instance: Instance) -> None:
        """Stop the server of an instance; its connections stay."""
        server, instance.server = instance.server, None
        if server is None:
            return
        del self._listening[instance.door]
        created = self._created.get(instance.creator, set())
        created.discard(instance)
        if not created:
            self._created.pop(instance.creator, None)
        self._bus.changed = True
        shut = partial(self._bus.relay.shut, instance.door)
        self._bus.guard.run(shut, lambda error: shut())
        server.remove()
        self._end(instance)

    def stop(self, instance: Instance) -> None:
        """Stop the server of an instance, and close its connections."""
        self.stop_listening(instance)
        for peer in tuple(instance.connections):
            if self._bus.peers.get(peer) is not None:
                self._bus.relay.disconnect(peer)
            else:
                self._bus.on_drop(peer)

    def _end(self, instance: Instance) -> None:
        """Remove an instance of which nothing is left."""
        if not instance.is_over or self._by_path.pop(instance.path, None) is None:
            return
        self._of_user[instance.uid] -= 1
        if not self._of_user[instance.uid]:
            del self._of_user[instance.uid]
        self._bus.changed = True
        body = make_body("o", (instance.path,))
        self._bus.relay.signal(BROADCAST, BUS_PATH, INTERFACE, "InstanceRemoved", "o", body)

    def restore(self, instances: Iterable[Instance], number: int) -> None:
        """Go on with the instances of the previous program, whose connections are yet to be reported."""
        self.next = number
        for instance in instances:
            self._enter(instance)

    def rejoin(self, peer: Peer) -> None:
        """Note a connection of the previous program."""
        instance = self._of(peer)
        if instance is not None:
            instance.connections.add(peer.id)

    def sweep(self) -> None:
        """Remove instances whose last connections were lost between two programs."""
        for instance in tuple(self._by_path.values()):
            self._end(instance)

    def close(self) -> None:
        """Remove the sockets at the end of the bus."""
        for instance in self._listening.values():
            if instance.server is not None:
                instance.server.remove()
