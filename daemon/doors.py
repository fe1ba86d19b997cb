"""The listening sockets, which the data plane knows by their places in one order."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..auth.mechanism import Mechanisms
from ..transport.listener import Listener

if TYPE_CHECKING:
    from ..transport.relay import Relay


def places(listeners: Sequence[Listener]) -> list[tuple[Listener, socket.socket]]:
    """Return each socket with its listener; HANDED_UP has the index."""
    return [(listener, sock) for listener in listeners for sock in listener.sockets]


def open_doors(relay: Relay, listeners: Sequence[Listener], mechanisms: Mechanisms) -> None:
    """Let the data plane accept connections."""
    only_external = list(mechanisms) == ["EXTERNAL"]
    for number, (listener, sock) in enumerate(places(listeners)):
        simple = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM
        simple = simple and "EXTERNAL" in mechanisms
        relay.listen(sock.fileno(), number, listener.guid, simple=simple, only_external=only_external)
    relay.commit()
