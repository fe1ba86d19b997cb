"""The directory of the sockets of container instances, which is dbus-daemon's."""

from __future__ import annotations

import os
from collections.abc import Mapping

SYSTEM = "/run/dbus/containers"


def socket_directory(environment: Mapping[str, str], *, for_all: bool) -> str:
    """Return the directory, which is made if it is this user's own; raises OSError.

    ``for_all``: of the system's bus, or of root's; it is made by the administrator, or by tmpfiles.d(5).
    Otherwise, without XDG_RUNTIME_DIR, it is the one for temporary files. Sockets have paths, not abstract
    names, since containers get them by a bind mount.
    """
    if for_all:
        return SYSTEM
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime is None:
        return next((environment[name] for name in ("TMPDIR", "TMP", "TEMP") if name in environment), "/tmp")
    parent = f"{runtime}/dbus-1"
    for path in (parent, f"{parent}/containers"):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise OSError(f"Failed to create directory {path}: {error.strerror}") from error
    return f"{parent}/containers"
