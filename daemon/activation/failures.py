"""The errors of failed starts, in the reference's words."""

from __future__ import annotations

import os
from typing import Final

from .. import errors
from ..errors import DBusError

# The exit codes of the launch helper.
HELPER_ERRORS: Final = {
    2: (errors.NO_MEMORY, "Launcher could not run (out of memory)"),
    3: (errors.SPAWN_CONFIG_INVALID, "Invalid configuration (missing or empty <user>?)"),
    4: (errors.SPAWN_SETUP_FAILED, "Failed to setup environment correctly"),
    5: (errors.SPAWN_SERVICE_NOT_VALID, "Bus name is not valid or missing"),
    6: (errors.SPAWN_SERVICE_NOT_FOUND, "Bus name not found in system service directory"),
    7: (errors.SPAWN_PERMISSIONS_INVALID, "The permission of the setuid helper is not correct"),
    # Spawn.FileInvalid would fit better, but programs expect this one.
    8: (
        errors.SPAWN_PERMISSIONS_INVALID,
        "The service file is incorrect or does not have all required attributes",
    ),
    9: (errors.SPAWN_EXEC_FAILED, "Cannot launch daemon, file not found or permissions invalid"),
    10: (errors.INVALID_ARGS, "Invalid arguments to command line"),
    11: (errors.SPAWN_CHILD_SIGNALED, "Launched child was signaled, it probably crashed"),
}


def unknown_service(name: str) -> DBusError:
    """There is no service file for the name."""
    return DBusError(errors.SERVICE_UNKNOWN, f"The name {name} was not provided by any .service files")


def too_many_starts(name: str, limit: int) -> DBusError:
    """The limit of pending starts is reached."""
    return DBusError(
        errors.LIMITS_EXCEEDED,
        f"The maximum number of pending activations has been reached, activation of {name} failed"
        f" (max_pending_service_starts={limit})",
    )


def timed_out(name: str, timeout: int) -> DBusError:
    """The name had no owner in time; ``timeout`` in milliseconds."""
    return DBusError(
        errors.TIMED_OUT,
        f"Failed to activate service '{name}': timed out (service_start_timeout={timeout}ms)",
    )


def no_user() -> DBusError:
    """The service file has no user for the launch helper."""
    return DBusError(errors.SPAWN_FILE_INVALID, "Cannot do system-bus activation with no user\n")


def cannot_fork(error: OSError) -> DBusError:
    """No process can be created."""
    return DBusError(errors.SPAWN_FORK_FAILED, f"Failed to fork ({error.strerror})")


def cannot_execute(name: str, error: OSError) -> DBusError:
    """The program could not be executed."""
    return DBusError(errors.SPAWN_EXEC_FAILED, f"Failed to execute program {name}: {error.strerror}")


def child_ended(name: str, status: int, *, helper: bool) -> DBusError | None:
    """Return the error for a wait(2) status; None: the program may have daemonized, and claim its name."""
    if os.WIFSIGNALED(status):
        text = f"Process {name} received signal {os.WTERMSIG(status)}"
        return DBusError(errors.SPAWN_CHILD_SIGNALED, text)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return None
    if not helper:
        return DBusError(errors.SPAWN_CHILD_EXITED, f"Process {name} exited with status {code}")
    unknown = (errors.SPAWN_CHILD_EXITED, f"Launch helper exited with unknown return code {code}")
    return DBusError(*HELPER_ERRORS.get(code, unknown))
