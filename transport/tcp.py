"""Listening on TCP (spec, "TCP Sockets" and "Nonce-authenticated TCP Sockets")."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .address import Address
from .listener import Listener, ListenError, OwnedFile, Surroundings
from .unix import random_letters

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
NONCE_SIZE = 16


def listen(address: Address, surroundings: Surroundings) -> Listener:
    """Listen according to ``host``, ``bind``, ``port`` and ``family``, on every address that they resolve to.

    Raises ListenError if there is none, or the family is unknown.
    """
    sockets, options = _listen(address.options)
    return Listener(sockets, [Address(address.transport, options)])


def listen_with_nonce(address: Address, surroundings: Surroundings) -> Listener:
    """Listen for clients that can read the file named by ``noncefile`` in the result."""
    sockets, options = _listen(address.options)
    try:
        file, nonce = _make_nonce_file(surroundings.environment)
    except OSError as error:
        for one in sockets:
            one.close()
        raise ListenError(f"Failed to make a nonce file: {error.strerror}") from error
    options["noncefile"] = str(file)
    files = [OwnedFile.at(str(file), with_directory=True)]
    return Listener(sockets, [Address(address.transport, options)], nonce=nonce, files=files)


def _listen(options: Mapping[str, str]) -> tuple[list[socket.socket], dict[str, str]]:
    """Open the sockets; return them with the options of the connectable address."""
    host = options.get("host", "localhost")
    interface = options.get("bind", host)
    port = options.get("port", "0")
    sockets: list[socket.socket] = []
    failures: list[str] = []
    for family, sockaddr in _resolve(None if interface == "*" else interface, port, options.get("family")):
        # The first socket determines the port of all.
        number = sockets[0].getsockname()[1] if sockets else sockaddr[1]
        try:
            sockets.append(_bound_socket(family, (sockaddr[0], number, *sockaddr[2:])))
        except OSError as error:
            failures.append(f'Failed to bind socket "{sockaddr[0]}" port {number}: {error.strerror}')
    if len(failures) == 1 and not sockets:
        raise ListenError(failures[0])
    if not sockets:
        raise ListenError(f'Failed to bind to "{interface}":{port} ({"; ".join(failures)})')
    connectable = {"host": host, "port": str(sockets[0].getsockname()[1])}
    for name, number in FAMILIES.items():
        if all(one.family == number for one in sockets):
            connectable["family"] = name
    return sockets, connectable


def _resolve(host: str | None, port: str, family: str | None) -> list[tuple[int, tuple[Any, ...]]]:
    """Return the distinct families and socket addresses."""
    if family is not None and family not in FAMILIES:
        raise ListenError(f"Unknown address family {family}")
    failure = f'Failed to lookup host/port: "{host or "*"}:{port}"'
    if port.isdigit() and int(port[:6]) > 0xFFFF:
        raise ListenError(f"{failure}: the port is out of range")
    try:
        found = socket.getaddrinfo(
            host,
            port,
            FAMILIES[family] if family else socket.AF_UNSPEC,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
            socket.AI_ADDRCONFIG | socket.AI_PASSIVE,
        )
    except socket.gaierror as error:
        raise ListenError(f"{failure}: {error.strerror} ({error.errno})") from error
    except UnicodeError as error:
        raise ListenError(f"{failure}: {error}") from error
    return list(dict.fromkeys((entry[0], entry[4]) for entry in found))


def _bound_socket(family: int, sockaddr: tuple[Any, ...]) -> socket.socket:
    """Return a listening socket; accepted connections inherit TCP_NODELAY."""
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            # The IPv4 half has a socket of its own.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(sockaddr)
        listening.listen(socket.SOMAXCONN)
    except OSError:
        listening.close()
        raise
    return listening


def _make_nonce_file(environment: Mapping[str, str]) -> tuple[Path, bytes]:
    """Write 16 random bytes into a file in a directory that only this user may enter."""
    # Imported here, since few buses need it and every start would pay for it.
    from pathlib import Path

    temporary = next((environment[name] for name in ("TMPDIR", "TMP", "TEMP") if name in environment), "/tmp")
    directory = Path(temporary, f"dbus_nonce-{random_letters(8)}")
    directory.mkdir(0o700)
    file = directory / "nonce"
    nonce = os.urandom(NONCE_SIZE)
    try:
        file.touch(0o600)
        file.write_bytes(nonce)
    except OSError:
        file.unlink(missing_ok=True)
        directory.rmdir()
        raise
    return file, nonce
