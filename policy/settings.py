"""The configuration as the daemon uses it: plain, frozen, and quick to import."""

from __future__ import annotations

from typing import Any

from ..record import Record


class Limits(Record):
    """The <limit> elements by their names: bytes, milliseconds (-1: never) or counts.

    The defaults are dbus-daemon's.
    """

    max_incoming_bytes: int = 127 * 1024 * 1024
    max_incoming_unix_fds: int = 64
    max_outgoing_bytes: int = 127 * 1024 * 1024
    max_outgoing_unix_fds: int = 64
    max_message_size: int = 32 * 1024 * 1024
    max_message_unix_fds: int = 16
    service_start_timeout: int = 25_000
    auth_timeout: int = 30_000
    pending_fd_timeout: int = 150_000
    reply_timeout: int = -1
    max_completed_connections: int = 2048
    max_incomplete_connections: int = 64
    max_connections_per_user: int = 256
    max_pending_service_starts: int = 512
    max_names_per_connection: int = 512
    max_match_rules_per_connection: int = 512
    max_replies_per_connection: int = 128
    max_containers: int = 512
    max_containers_per_user: int = 16
    max_connections_per_container: int = 8
    max_container_metadata_bytes: int = 4096


class ServiceDir(Record):
    """A directory of .service files.

    watch: a change in it reloads the configuration.
    strict_naming: a file must be named after the bus name that it provides.
    transient: it is the session's own, below XDG_RUNTIME_DIR, and the bus creates it.
    """

    path: str
    watch: bool = True
    strict_naming: bool = False
    transient: bool = False


class Multicast(Record):
    """The use of the kernel's groups, where messages go directly between clients.

    mode: "auto", "off" or "require".
    trust: the senders of a client's direct messages: "same-user" (its own uid and root) or "everybody".
    """

    mode: str = "auto"
    trust: str = "same-user"


PASSED_OVER = "Encountered error"
"""The beginning of the reason of a warning about a file that was passed over."""


class ConfigWarning(Record):
    """A part of the configuration that was ignored; line is 0 if it is a whole file."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"


class Settings(Record):
    """The merged settings of all configuration files.

    listen, auth: in the order of the files; an empty auth allows every mechanism.
    service_dirs: in the order of the search, without duplicates.
    selinux: (bus name, security context) pairs; apparmor: "required", "enabled" or "disabled".
    policy: the rules as a block of policy.block.
    files: every file that was read; watched_dirs: directories in which a change triggers a reload.
    missing: files and directories that would have been read if they existed.
    multicast, standby, containers: from omnibus's own file, which is read at the start only. standby: "auto",
    "on" or "off", whether a process stands by to go on after a crash. containers: whether Containers1 is
    offered.
    """

    bus_type: str | None = None
    user: str | None = None
    fork: bool = False
    keep_umask: bool = False
    pidfile: str | None = None
    syslog: bool = False
    listen: tuple[str, ...] = ()
    auth: tuple[str, ...] = ()
    allow_anonymous: bool = False
    service_dirs: tuple[ServiceDir, ...] = ()
    servicehelper: str | None = None
    limits: Limits = Limits()
    selinux: tuple[tuple[str, str], ...] = ()
    apparmor: str = "enabled"
    policy: bytes = b""
    files: tuple[str, ...] = ()
    watched_dirs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[ConfigWarning, ...] = ()
    multicast: Multicast = Multicast()
    standby: str = "auto"
    containers: bool = False

    def to_plain(self) -> dict[str, Any]:
        """Return the settings as tuples, strings, numbers and bytes, which marshal can write."""
        plain = dict(vars(self))
        plain["limits"] = _values(self.limits)
        plain["service_dirs"] = tuple(map(_values, self.service_dirs))
        plain["warnings"] = tuple(map(_values, self.warnings))
        plain["multicast"] = _values(self.multicast)
        return plain

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Settings:
        """Return the settings of a dictionary from to_plain()."""
        return cls(
            **plain
            | {
                "limits": Limits(*plain["limits"]),
                "service_dirs": tuple(ServiceDir(*values) for values in plain["service_dirs"]),
                "warnings": tuple(ConfigWarning(*values) for values in plain["warnings"]),
                "multicast": Multicast(*plain["multicast"]),
            }
        )


def _values(record: Limits | ServiceDir | ConfigWarning | Multicast) -> tuple[Any, ...]:
    return tuple(vars(record).values())
