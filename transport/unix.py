"""Listening on Unix domain sockets (spec, "Unix Domain Sockets").

``unix-seqpacket`` is omnibus's own transport: SOCK_SEQPACKET, with the keys of ``unix``. A message is one
packet, or several if it is larger than 64 KiB; the handshake may be split anywhere. An empty packet is the
end of file.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress

from .address import Address, AddressError
from .listener import Listener, ListenError, OwnedFile, Surroundings

PACKETS = "unix-seqpacket"
TYPES = {"unix": socket.SOCK_STREAM, PACKETS: socket.SOCK_SEQPACKET}
BESIDE = ".seqpacket"
KEYS = ("path", "tmpdir", "abstract", "runtime", "dir")
MAX_NAME = 99  # bytes: the limit of libdbus
MODE = 0o777  # the policy decides about connections
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz"


def listen(address: Address, surroundings: Surroundings) -> Listener:
    """Listen according to ``path``, ``dir``, ``tmpdir``, ``abstract`` or ``runtime``.

    Raises AddressError unless exactly one is given, ListenError if the socket can't be made.
    """
    keys = [key for key in KEYS if key in address.options]
    if not keys:
        raise AddressError(
            f"Server address of type {address.transport} was missing argument "
            "path or tmpdir or abstract or runtime or dir"
        )
    if len(keys) > 1:
        raise AddressError(
            'Could not parse server address: cannot specify two of "path", "tmpdir", "abstract", "runtime" '
            'and "dir" at the same time'
        )
    key = keys[0]
    value = address.options[key]
    transport = address.transport
    if key == "abstract":
        return _listen_abstract(transport, value)
    if key == "runtime":
        return _listen_path(transport, _runtime_path(value, surroundings.environment))
    if key == "path":
        return _listen_path(transport, value)
    return _listen_path(transport, f"{value}{'' if value.endswith('/') else '/'}dbus-{random_letters(10)}")


def listen_beside(address: Address) -> Listener | None:
    """Listen for packets at the path derived from an address of ``unix``; return None for other transports.

    Raises ListenError.
    """
    if address.transport != "unix":
        return None
    if "abstract" in address.options:
        return _listen_abstract(PACKETS, address.options["abstract"] + BESIDE)
    return _listen_path(PACKETS, address.options["path"] + BESIDE)


def random_letters(count: int) -> str:
    """Return an unpredictable part of a file name."""
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in os.urandom(count))


def _runtime_path(value: str, environment: Mapping[str, str]) -> str:
    if value != "yes":
        raise AddressError(
            'Could not parse server address: if given, the only value allowed for "runtime" is "yes"'
        )
    directory = environment.get("XDG_RUNTIME_DIR")
    if not directory:
        raise ListenError('"XDG_RUNTIME_DIR" is not set')
    return f"{directory}{'' if directory.endswith('/') else '/'}bus"


def _listen_abstract(transport: str, name: str) -> Listener:
    encoded = b"\0" + os.fsencode(name)
    if len(encoded) > MAX_NAME:
        raise ListenError("Abstract socket name too long")
    listening = _bound_socket(TYPES[transport], name, encoded)
    return Listener([listening], [Address(transport, {"abstract": name})])


def _listen_path(transport: str, path: str) -> Listener:
    encoded = os.fsencode(path)
    if len(encoded) > MAX_NAME:
        raise ListenError("Socket name too long")
    _remove_stale(path)
    listening = _bound_socket(TYPES[transport], path, encoded)
    with suppress(OSError):  # a socket with a stricter mode is better than none
        os.chmod(path, MODE)
    files: list[OwnedFile] = []
    with suppress(OSError):  # unless it is gone already
        files.append(OwnedFile.at(path if path.startswith("/") else os.path.join(os.getcwd(), path)))
    return Listener([listening], [Address(transport, {"path": path})], files=files)


def _bound_socket(kind: int, name: str, encoded: bytes) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    try:
        listening.bind(encoded)
        listening.listen(socket.SOMAXCONN)
    except OSError as error:
        listening.close()
        raise ListenError(f'Failed to bind socket "{name}": {error.strerror}') from error
    return listening


def _remove_stale(path: str) -> None:
    """Remove the socket that an earlier bus left behind, and never anything but a socket."""
    with suppress(OSError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
