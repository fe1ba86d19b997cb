"""The standard directories of .service files."""

from __future__ import annotations

import os
import stat

from .settings import ServiceDir

_SESSION = "/dbus-1/services"
_SYSTEM = "/dbus-1/system-services"


def join(directory: str, path: str) -> str:
    """Return a path in a directory, joined as dbus-daemon does."""
    if not directory or not path:
        return directory
    if directory.endswith("/") and path.startswith("/"):
        return directory[:-1] + path
    if directory.endswith("/") or path.startswith("/"):
        return directory + path
    return f"{directory}/{path}"


def session_dirs() -> tuple[ServiceDir, ...]:
    """Return what <standard_session_servicedirs/> stands for, without the transient directory."""
    home = os.environ.get("XDG_DATA_HOME")
    if home is None:
        home = join(os.path.expanduser("~"), "/.local/share")
    shared = os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share")
    bases = [base.rstrip(" \t\r\n") for base in f"{home}:{shared}:/usr/share".split(":")]
    return tuple(ServiceDir(join(base, _SESSION)) for base in bases if base)


def system_dirs() -> tuple[ServiceDir, ...]:
    """Return what <standard_system_servicedirs/> stands for."""
    # Those in /etc and /run may be created late, so they aren't watched; they are new enough to require
    # that files are named after their service.
    local = [ServiceDir(base + _SYSTEM, watch=False, strict_naming=True) for base in ("/etc", "/run")]
    return (*local, *(ServiceDir(base + _SYSTEM) for base in ("/usr/local/share", "/usr/share", "/lib")))


def transient_dir() -> ServiceDir | None:
    """Return the session's own directory below XDG_RUNTIME_DIR; None if that isn't set.

    Raises OSError with the reason if XDG_RUNTIME_DIR can't be trusted: it may belong to another user.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime is None:
        return None
    _check_owned("XDG_RUNTIME_DIR", runtime)
    return ServiceDir(runtime + _SESSION, watch=False, strict_naming=True, transient=True)


def make_transient_dir(directory: ServiceDir) -> None:
    """Make a transient directory, accessible to this user only, if it doesn't exist.

    Raises OSError with the reason if it or its parent can't be made, or belongs to another user.
    """
    for path in (os.path.dirname(directory.path), directory.path):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        _check_owned("XDG_RUNTIME_DIR subdirectory", path)


def _check_owned(label: str, path: str) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        raise OSError(f'{label} "{path}" not available: {error.strerror}') from None
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(f'{label} "{path}" is not a directory')
    if status.st_uid != os.geteuid():
        raise OSError(f'{label} "{path}" is owned by uid {status.st_uid}, not our uid {os.geteuid()}')
    if status.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
        raise OSError(f'{label} "{path}" can be written by others (mode 0{status.st_mode:o})')
