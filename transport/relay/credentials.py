"""The credentials of a connection."""

from ...record import Record


class Credentials(Record):
    """The identity of the process at the other end, and the outcome of the handshake.

    Unknown fields are None or empty. `gids` are in the kernel's order, the primary group first: policy is
    evaluated in that order; None if they have yet to be looked up. `privileged`: it is root or the bus's own
    user. `loginfo` describes the connection in log lines and denials; `label` is that of a security module,
    without a NUL. `instance`: the object path of the container instance that it belongs to, if any.
    """

    uid: int | None
    pid: int | None
    gids: tuple[int, ...] | None = ()
    at_console: bool = False
    fd_passing: bool = False
    privileged: bool = False
    loginfo: str = ""
    label: bytes = b""
    instance: str | None = None
