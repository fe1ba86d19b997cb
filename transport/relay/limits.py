"""The limits that the data plane keeps."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Names and defaults as in dbus-daemon(1); times in milliseconds, -1 for never."""

    max_incoming_bytes: int = 127 << 20
    max_outgoing_bytes: int = 127 << 20
    max_incoming_unix_fds: int = 64
    max_outgoing_unix_fds: int = 64
    max_message_size: int = 32 << 20
    max_message_unix_fds: int = 16
    max_match_rules_per_connection: int = 512
    max_replies_per_connection: int = 128
    reply_timeout: int = -1
    pending_fd_timeout: int = 150_000
