"""Security modules of the kernel that mediate a bus, and the right to write audit records."""

import os
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

from ._relay import ffi, lib


class Module(IntFlag):
    """Those that can mediate a bus; the names are those of the property Features."""

    AppArmor = 1
    SELinux = 2


class Texts(IntEnum):
    """What the modules are told of names."""

    LABELS = 1
    """AppArmor's of services that are yet to be started: AssumedAppArmorLabel."""
    CONTEXTS = 2
    """SELinux's of names: <associate>."""


class MediationError(Exception):
    """A module can't be asked. `missing`: its library is not there."""

    def __init__(self, text: str, *, missing: bool) -> None:
        super().__init__(text)
        self.missing = missing


class Question(NamedTuple):
    """Whether modules allow a message, or a name.

    `recipient` is a peer, or BROADCAST: the bus, or a service yet to start. `type` is that of the message; 0:
    may the sender own the name `destination`? `requested`: it is the reply to a call.
    """

    sender: int
    recipient: int
    type: int
    requested: bool
    destination: str
    path: str | None = None
    interface: str | None = None
    member: str | None = None
    error_name: str | None = None

    def native(self) -> tuple[Any, list[Any]]:
        """Returns the question as a C struct, and the objects that own its memory."""
        made = ffi.new("struct relay_question *")
        made.sender, made.recipient, made.type, made.requested = self[:4]
        kept = []
        for name in self._fields[4:]:
            text = getattr(self, name)
            if text is not None:
                kept.append(ffi.new("char[]", text.encode("utf-8", "replace")))
                setattr(made, name, kept[-1])
        return made, kept


def keep_audit_right() -> bool:
    """Lets the right outlast a change of the user; returns False if there is none."""
    return bool(lib.relay_audit_right(lib.RELAY_AUDIT_KEEP))


def settle_audit_right() -> None:
    """Drops all capabilities but the right to write records, after `keep_audit_right`; raises OSError."""
    error = lib.relay_audit_right(lib.RELAY_AUDIT_SETTLE)
    if error < 0:
        raise OSError(-error, os.strerror(-error))


def pass_audit_right() -> None:
    """Lets the right, if there is one, outlast execve(2)."""
    lib.relay_audit_right(lib.RELAY_AUDIT_PASS)


def hold_audit_right() -> None:
    """Ends that, after an execve(2) that has failed."""
    lib.relay_audit_right(lib.RELAY_AUDIT_HOLD)


def body_of(texts: dict[str, str]) -> bytes:
    """Returns texts by name as the data plane takes them."""
    return b"".join(one.encode("utf-8", "surrogateescape") + b"\0" for pair in texts.items() for one in pair)


def null_or(text: str | None) -> object:
    """Returns a C string, NULL for None."""
    return ffi.NULL if text is None else text.encode("utf-8", "surrogateescape")
