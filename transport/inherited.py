"""Listening on sockets passed by the service manager (specification: "systemd")."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from .address import Address
from .listener import Listener, ListenError, Surroundings


def listen(address: Address, surroundings: Surroundings) -> Listener:
    """Take over all passed sockets; raises ListenError if there are none, or one is of another kind."""
    descriptors = surroundings.take_inherited()
    if not descriptors:
        raise ListenError("No socket received.")
    sockets: list[socket.socket] = []
    try:
        for descriptor in descriptors:
            sockets.append(_listening_socket(descriptor))
        addresses = [_address_of(one) for one in sockets]
    except ListenError:
        for one in sockets:
            one.detach()
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)
        raise
    return Listener(sockets, addresses)


def _listening_socket(descriptor: int) -> socket.socket:
    try:
        passed = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ListenError("Passed socket has wrong type.") from error
    listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if passed.type != socket.SOCK_STREAM or not listens:
        passed.detach()
        raise ListenError("Passed socket has wrong type.")
    passed.setblocking(False)
    passed.set_inheritable(False)
    return passed


def _address_of(listening: socket.socket) -> Address:
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        if isinstance(name, bytes):  # abstract, with a nul byte in front
            return Address("unix", {"abstract": os.fsdecode(name[1:])})
        return Address("unix", {"path": name})
    families = {socket.AF_INET: "ipv4", socket.AF_INET6: "ipv6"}
    if listening.family not in families:
        raise ListenError("Failed to read address from socket: Unknown socket type.")
    return Address("tcp", {"family": families[listening.family], "port": str(name[1]), "host": name[0]})
