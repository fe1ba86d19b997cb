"""Who a connection is, as the data plane wants to know it."""

from ...record import Record


class Credentials(Record):
    """What the socket says of the process at its other end, and what was agreed with it.

    `gids` are in the kernel's order, the primary group first: policy is evaluated in that order.
    `loginfo` is the text that log lines and denials show of the connection.
    """

    uid: int | None
    pid: int | None
    gids: tuple[int, ...]
    at_console: bool = False
    fd_passing: bool = False
    privileged: bool = False
    loginfo: str = ""
