"""Transient units: systemd runs a program for the bus, in a unit of its own and not as a child of the bus.

On a system bus the program is the launch helper, as without systemd, and runs as the user of the bus: the
helper alone decides what may be started and for which user, and gives it its environment.

A unit of this kind is forgotten when its program has ended, and how it has ended with it, unless another one
refers to it. So the unit that the bus asks for is a timer, which never elapses and wants the service; when
the start is over, the bus stops the timer.

Rejected: ``User=`` of the service file in the unit, which would be a second authority beside the helper.
``AddRef``, which systemd has for this purpose: it refuses it to the bus, which is no client of its own.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from typing import Any, Final

from ..codec import Variant
from .systemd import call
from .tools import CannotExecute, Program
from .waiters import DriverMessage

Property = tuple[str, str, Any]
"""Name, signature and value."""

START: Final = "StartTransientUnit"
SIGNATURE: Final = "ssa(sv)a(sa(sv))"
NOT_EXECUTED: Final = 203 << 8
"""The status of a program that systemd could not execute."""
NEVER: Final[Property] = ("TimersMonotonic", "a(st)", [("OnActiveSec", 2**62)])

MAX_NAME: Final = 200  # of 255 bytes for the name of a unit
MAX_STRING: Final = 2**17 - 1  # bytes, as for execve(2)
MAX_ENVIRONMENT: Final = 2**19  # bytes; with escapes up to twice as many, as a line of a unit file may have

# What systemd refuses, and with it the whole request: names that no shell has, control characters other than
# tabs and newlines, and what is no character of Unicode.
NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
CONTROL: Final = r"[\0-\x08\x0b-\x1f\x7f]"
NO_CHARACTER: Final = "[{}{}{}]".format(
    r"\ud800-\udfff",
    r"\ufdd0-\ufdef",
    "".join(chr(n << 16 | end) for n in range(17) for end in (0xFFFE, 0xFFFF)),
)


def unit_name(name: str, now: float) -> str:
    """Return the name of the unit for a start at ``now``, in seconds of CLOCK_MONOTONIC.

    No other has it until the machine starts again: services outlive the bus, and so do their units. It is an
    instance of a template, so that an administrator's settings for ``dbus-NAME@.service`` are in force.
    """
    return f"dbus-{name[:MAX_NAME]}@{int(now * 1_000_000)}.service"


def keeper(unit: str) -> str:
    """Return the name of the timer because of which systemd remembers a unit."""
    return f"{unit.removesuffix('.service')}.timer"


def kept(timer: str) -> str:
    """Return the name of the unit that systemd remembers because of a timer."""
    return f"{timer.removesuffix('.timer')}.service"


def request(unit: str, program: Program, *, system: bool) -> DriverMessage:
    """Return the call that starts the program; raises CannotExecute.

    ``system``: systemd is that of the system, not that of the bus's own user.
    """
    of_service = [
        *_unit(f"D-Bus service {program.name}"),
        *_execution(program),
        *_place(system=system),
    ]
    of_timer = [*_unit(f"Start of the D-Bus service {program.name}"), ("Wants", "as", [unit]), NEVER]
    others = [(unit, _variants(of_service))]
    return call(START, SIGNATURE, keeper(unit), "fail", _variants(of_timer), others)


def _variants(properties: Iterable[Property]) -> list[tuple[str, Variant]]:
    return [(name, Variant(kind, value)) for name, kind, value in properties]


def _unit(description: str) -> Iterable[Property]:
    yield "Description", "s", description
    # The bus starts services before basic.target, too.
    yield "DefaultDependencies", "b", False
    for order in ("Conflicts", "Before"):
        yield order, "as", ["shutdown.target"]
    yield "CollectMode", "s", "inactive-or-failed"


def _execution(program: Program) -> Iterable[Property]:
    path = program.argv[0]
    if not path.startswith("/"):  # systemd would look for it; the bus does not
        raise _cannot(errno.ENOENT)
    if any(re.search(NO_CHARACTER, text) for text in program.argv):
        raise _cannot(errno.EILSEQ)
    if any(len(text.encode()) > MAX_STRING for text in program.argv):
        raise _cannot(errno.E2BIG)
    # "no-env-expand": a dollar sign is one.
    yield "ExecStartEx", "a(sasas)", [(path, program.argv, ["no-env-expand"])]
    yield "Environment", "as", _environment(program)
    yield "SyslogIdentifier", "s", program.name
    # A service that goes into the background leaves its first process, and one that ends may leave others.
    yield "KillMode", "s", "process"
    yield "OOMPolicy", "s", "continue"


def _place(*, system: bool) -> Iterable[Property]:
    # Otherwise each would have a slice of its own, as an instance of a template.
    yield "Slice", "s", "system.slice" if system else "app.slice"
    if system and os.geteuid() != 0:
        yield "User", "s", str(os.geteuid())
        yield "Group", "s", str(os.getegid())


def _environment(program: Program) -> list[str]:
    refused = re.compile(f"{NO_CHARACTER}|{CONTROL}").search
    found = [
        f"{name}={value}"
        for name, value in program.environment.items()
        if re.fullmatch(NAME, name) and not refused(value)
    ]
    sizes = [len(one.encode()) for one in found]
    if sum(sizes) > MAX_ENVIRONMENT or max(sizes, default=0) > MAX_STRING:
        raise _cannot(errno.E2BIG)
    return found


def why_not_executed(path: str) -> CannotExecute:
    """Return why systemd could not execute a program, which it does not report: what the file shows."""
    if not os.path.exists(path):
        return _cannot(errno.ENOENT)
    return _cannot(errno.ENOEXEC if os.path.isfile(path) and os.access(path, os.X_OK) else errno.EACCES)


def _cannot(number: int) -> CannotExecute:
    return CannotExecute(number, os.strerror(number))
