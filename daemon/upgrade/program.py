"""The program that an upgrade executes: where it is, and whether it may be trusted."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from ...record import Record

PATH_VARIABLE: Final = "OMNIBUS_PROGRAM"
"""Set by omnibusd: the path that it was executed by, which an installation may replace."""
CAN_RESUME: Final = "--can-resume"
REHEARSE: Final = "--rehearse"
RESUME: Final = "--resume-fd="
PREVIOUS: Final = "--previous="
DRAFT: Final = "--draft="
LIBRARY: Final = "--library="
"""What omnibusd preloads, so that the data plane serves first: the library that was rehearsed with."""
RETURNED: Final = "--returned"
"""In front of a command line: the program after this one could not go on."""
RESTARTED: Final = "--restarted"
"""In front of a command line: the state is what the process before has left with the service manager."""
CRASHED: Final = "--crashed"
"""In front of a command line: the state is that of a bus that has crashed, written by its standby."""
CLIENTS: Final = "omnibus-clients"
"""The name of what a bus leaves with the service manager (``restart.py``)."""
MAX_LINKS: Final = 40  # as in the kernel


class ProgramError(Exception):
    """The program may not be executed; the text says why."""


class Program(Record):
    """What to execute: a path, and the arguments before those of the command line."""

    path: str
    arguments: tuple[str, ...] = ()

    def command(self, *arguments: str) -> list[str]:
        """Return the arguments to execute it with, its name first."""
        return [self.path, *self.arguments, *arguments]

    @property
    def real_path(self) -> str:
        """The path without links: where an installation beside it leaves it alone."""
        return os.path.realpath(self.path)


def installed(environment: Mapping[str, str] = os.environ) -> Program:
    """Return the program as this process was started: omnibusd, or the interpreter if that was executed."""
    path = environment.get(PATH_VARIABLE, "")
    if path:
        return Program(os.path.abspath(path))
    return Program(sys.executable, ("-I", "-m", "omnibus.daemon.main"))


def check_trust(path: str, owner: int, *, executable: bool = True) -> None:
    """Raise ProgramError unless only root and ``owner`` can change what the absolute ``path`` leads to.

    That is: the file, every directory on the way to it, and every link in between belong to one of them, and
    others can't write. A directory with the sticky bit may be writable, since its entries are safe.
    """
    n_links = 0
    rest = _parts(path)
    at = "/"
    found = os.lstat(at)
    _check(at, found, owner)
    while rest:
        part = rest.pop(0)
        if part == "..":
            at = os.path.dirname(at)
            continue
        at = os.path.join(at, part)
        try:
            found = os.lstat(at)
            target = os.readlink(at) if stat.S_ISLNK(found.st_mode) else None
        except OSError as error:
            raise ProgramError(f"{at}: {error.strerror}") from error
        _check(at, found, owner)
        if target is not None:
            n_links += 1
            if n_links > MAX_LINKS:
                raise ProgramError(f"{path}: too many links")
            rest = [*_parts(target), *rest]
            at = "/" if target.startswith("/") else os.path.dirname(at)
    if not stat.S_ISREG(found.st_mode) or (executable and not os.access(path, os.X_OK)):
        raise ProgramError(f"{path}: not a program")


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _check(path: str, found: os.stat_result, owner: int) -> None:
    if found.st_uid not in (0, owner):
        raise ProgramError(f"{path}: belongs to uid {found.st_uid}, neither to root nor to uid {owner}")
    mode = found.st_mode
    if stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        return
    writable = mode & stat.S_IWOTH or (mode & stat.S_IWGRP and found.st_gid != 0)
    if writable:
        raise ProgramError(f"{path}: users other than root and uid {owner} can write to it")


def without_resume(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without what an earlier upgrade has put in front of it."""
    rest = list(arguments)
    while rest and rest[0].startswith((RESUME, PREVIOUS, LIBRARY, RETURNED, RESTARTED, CRASHED)):
        rest.pop(0)
    return tuple(rest)


def is_about_upgrades(arguments: Sequence[str]) -> bool:
    """Return True for a command line of ``command.py``.

    The state is believed in front only: an administrator's arguments come behind it.
    """
    first = arguments[0] if arguments else ""
    inner = first.startswith((RESUME, DRAFT)) or first == REHEARSE
    return inner or CAN_RESUME in arguments
