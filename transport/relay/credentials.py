"""The credentials of a connection, as the data plane takes them."""

from ...record import Record


class Credentials(Record):
    """The socket's peer credentials, and the outcome of the handshake.

    `gids` are in the kernel's order, the primary group first: policy is evaluated in that order.
    `loginfo` describes the connection in log lines and denials.
    """

    uid: int | None
    pid: int | None
    gids: tuple[int, ...]
    at_console: bool = False
    fd_passing: bool = False
    privileged: bool = False
    loginfo: str = ""
