"""The messages between the bus and systemd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ...record import Record
from ...transport.relay import Event
from ...transport.relay.message import METHOD_CALL, METHOD_RETURN, SIGNAL
from ..codec import make_body, read_body
from ..driver.method import BUS_PATH
from ..peers import Peer
from .waiters import DriverMessage

MANAGER_NAME: Final = "org.freedesktop.systemd1"
MANAGER_PATH: Final = "/org/freedesktop/systemd1"
MANAGER_INTERFACE: Final = "org.freedesktop.systemd1.Manager"
ACTIVATOR_INTERFACE: Final = "org.freedesktop.systemd1.Activator"
UNIT_INTERFACE: Final = "org.freedesktop.systemd1.Unit"
SERVICE_INTERFACE: Final = "org.freedesktop.systemd1.Service"
JOB: Final = "Job"
EXEC_START: Final = "ExecStart"

MAX_UNIT_STATE: Final = 2**18  # bytes; the properties of a unit have about 10,000
NOT_FOR_PATHS: Final = rb"[^A-Za-z0-9]|\A[0-9]"
COMMANDS: Final = "a(sasbttttuii)"
EXITED, KILLED, DUMPED = 1, 2, 3  # CLD_ of siginfo_t


def activation_request(unit: str) -> DriverMessage:
    """Return the signal that requests the start of a unit."""
    return DriverMessage(
        SIGNAL,
        MANAGER_NAME,
        BUS_PATH,
        ACTIVATOR_INTERFACE,
        "ActivationRequest",
        "s",
        make_body("s", [unit]),
    )


def set_environment(variables: Mapping[str, str], destination: str) -> DriverMessage:
    """Return the call that sets variables for units that are started from now on."""
    assignments = [f"{key}={value}" for key, value in variables.items()]
    return call("SetEnvironment", "as", assignments).replace(destination=destination)


def call(member: str, signature: str, *arguments: Any) -> DriverMessage:
    """Return a call of systemd's manager, whose reply is not needed."""
    body = make_body(signature, arguments)
    return DriverMessage(METHOD_CALL, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE, member, signature, body)


def unit_path(unit: str) -> str:
    """Return the object path of a unit: bytes other than letters and digits, and a leading digit, as _xx."""
    escaped = re.sub(NOT_FOR_PATHS, lambda match: b"_%02x" % match[0][0], unit.encode("utf-8"))
    return f"{MANAGER_PATH}/unit/{escaped.decode('ascii') or '_'}"


def is_systemd(peer: Peer | None, proc: str = "/proc") -> bool:
    """Return True if the owner of systemd's name is systemd; another one has no units to query."""
    if peer is None or peer.credentials.pid is None:
        return False
    try:
        with open(f"{proc}/{peer.credentials.pid}/comm", "rb", buffering=0) as file:
            return (file.read(16) or b"").rstrip(b"\n") == b"systemd"
    except OSError:
        return False


def has_job(reply: Event) -> bool | None:
    """Read the property ``JOB`` of a unit from a reply of Get; None if it is an error, or malformed."""
    if reply.type != METHOD_RETURN or reply.signature != "v" or len(reply.body_view) > MAX_UNIT_STATE:
        return None
    ((kind, value),) = read_body("v", reply.body_view, reply.big_endian)
    return value[0] != 0 if kind == "(uo)" else None


class ProgramEnd(Record):
    """The end of a service's program; ``status`` is that of wait(2)."""

    path: str
    status: int

    @classmethod
    def from_reply(cls, reply: Event) -> ProgramEnd | None:
        """Read the property ``EXEC_START``; None if nothing was executed, of an error, or if malformed."""
        if reply.type != METHOD_RETURN or reply.signature != "v" or len(reply.body_view) > MAX_UNIT_STATE:
            return None
        ((kind, value),) = read_body("v", reply.body_view, reply.big_endian)
        if kind != COMMANDS or len(value) != 1:
            return None
        path, *_, code, status = value[0]
        if code == EXITED:
            return cls(path, (status & 0xFF) << 8)
        return cls(path, status & 0x7F) if code in (KILLED, DUMPED) else None


class UnitState(Record):
    """The state of a unit. ``job``: a job is queued for it; times are microseconds of CLOCK_MONOTONIC."""

    active: str
    job: bool
    left_inactive: int
    condition_met: bool
    condition_checked: int

    @classmethod
    def from_reply(cls, event: Event) -> UnitState | None:
        """Read a reply of GetAll; None if it is an error, or malformed."""
        body = event.body_view
        if event.type != METHOD_RETURN or event.signature != "a{sv}" or len(body) > MAX_UNIT_STATE:
            return None
        (properties,) = read_body("a{sv}", body, event.big_endian)
        return cls.from_properties(properties)

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> UnitState | None:
        """Read the properties of org.freedesktop.systemd1.Unit; None if they are malformed."""
        try:
            return cls(
                str(properties["ActiveState"].value),
                properties[JOB].value[0] != 0,
                int(properties["InactiveExitTimestampMonotonic"].value),
                bool(properties["ConditionResult"].value),
                int(properties["ConditionTimestampMonotonic"].value),
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return None
