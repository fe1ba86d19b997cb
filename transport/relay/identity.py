"""The credentials of the process that made a connection, as the kernel recorded them."""

from typing import Final, NamedTuple

from ._relay import ffi, lib


class Identity(NamedTuple):
    """One process: `gids` are its supplementary groups, None if they have yet to be looked up.

    `label` is a security module's, `command` the beginning of the command line, with its NULs.
    """

    pid: int | None
    uid: int
    gid: int
    gids: tuple[int, ...] | None
    label: bytes
    command: bytes


_native: Final = ffi.new("struct relay_identity *")


def at_console(uid: int, users: str) -> bool:
    """Tells whether a user is logged in at a seat, according to logind's file for that user."""
    return bool(lib.relay_at_console(users.encode(), uid))


def identify(fd: int) -> Identity | None:
    """Returns the process at the other end of a Unix socket; None for other sockets. Main thread only."""
    if not lib.relay_identify(fd, _native):
        return None
    native, n_gids = _native, _native.n_gids
    return Identity(
        native.pid or None,
        native.uid,
        native.gid,
        tuple(ffi.unpack(native.gids, n_gids)) if n_gids >= 0 else None,
        ffi.unpack(native.label, native.label_size) if native.label_size else b"",
        ffi.unpack(native.command, native.command_size),
    )
