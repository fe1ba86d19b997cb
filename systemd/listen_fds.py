"""Sockets passed by the service manager (sd_listen_fds(3))."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from ..record import Record

LISTEN_FDS_START = 3
METRICS = "omnibus-metrics"
"""The name of the socket of metrics, which is no bus's even if a unit passes it."""
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class PassedFd(Record):
    """A descriptor and its FileDescriptorName=, "" if the manager gave none."""

    fd: int
    name: str = ""


class ListenFdsError(Exception):
    """The environment announces descriptors that don't exist, or is malformed."""


def take_listen_fds(environment: MutableMapping[str, str] = os.environ) -> list[PassedFd]:
    """Return the descriptors meant for this process, after making them close-on-exec.

    The variables are removed, so that neither a child nor a second call uses them. Call this before a fork,
    since they name one process. Raises ListenFdsError.
    """
    pid, count, names, _ = (environment.pop(variable, "") for variable in _VARIABLES)
    if not pid or not count:
        return []
    if not pid.isdecimal():
        raise ListenFdsError("Failed to acquire systemd socket: Invalid argument")
    if int(pid) != os.getpid():
        return []
    if not count.isdecimal():
        raise ListenFdsError("Failed to acquire systemd socket: Invalid argument")
    listed = names.split(":") if names else []
    passed = []
    for index in range(int(count)):
        fd = LISTEN_FDS_START + index
        try:
            os.set_inheritable(fd, False)
        except OSError as error:
            raise ListenFdsError(f"Failed to acquire systemd socket: {error.strerror}") from error
        passed.append(PassedFd(fd, listed[index] if index < len(listed) else ""))
    return passed
