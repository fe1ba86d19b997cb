"""The errors of a start that failed, in the reference's words."""

from __future__ import annotations

import os
from typing import Final

from .. import errors
from ..errors import DBusError

# What the exit code of the launch helper means.
HELPER_ERRORS: Final = {
    2: (errors.NO_MEMORY, "Launcher could not run (out of memory)"),
    3: (errors.SPAWN_CONFIG_INVALID, "Invalid configuration (missing or empty <user>?)"),
    4: (errors.SPAWN_SETUP_FAILED, "Failed to setup environment correctly"),
    5: (errors.SPAWN_SERVICE_NOT_VALID, "Bus name is not valid or missing"),
    6: (errors.SPAWN_SERVICE_NOT_FOUND, "Bus name not found in system service directory"),
    7: (errors.SPAWN_PERMISSIONS_INVALID, "The permission of the setuid helper is not correct"),
    # That this is not Spawn.FileInvalid may be an oversight, but it is what programs know.
    8: (
        errors.SPAWN_PERMISSIONS_INVALID,
        "The service file is incorrect or does not have all required attributes",
    ),
    9: (errors.SPAWN_EXEC_FAILED, "Cannot launch daemon, file not found or permissions invalid"),
    10: (errors.INVALID_ARGS, "Invalid arguments to command line"),
    11: (errors.SPAWN_CHILD_SIGNALED, "Launched child was signaled, it probably crashed"),
}


def unknown_service(name: str) -> DBusError:
    """No file tells how to start it."""
    return DBusError(errors.SERVICE_UNKNOWN, f"The name {name} was not provided by any .service files")


def too_many_starts(name: str, limit: int) -> DBusError:
    """As many wait as may wait."""
    return DBusError(
        errors.LIMITS_EXCEEDED,
        f"The maximum number of pending activations has been reached, activation of {name} failed"
        f" (max_pending_service_starts={limit})",
    )


def timed_out(name: str, timeout: int) -> DBusError:
    """It has not come in time; ``timeout`` in milliseconds."""
    return DBusError(
        errors.TIMED_OUT,
        f"Failed to activate service '{name}': timed out (service_start_timeout={timeout}ms)",
    )


def no_user() -> DBusError:
    """The launch helper can't know as whom to start it."""
    return DBusError(errors.SPAWN_FILE_INVALID, "Cannot do system-bus activation with no user\n")


def cannot_fork(error: OSError) -> DBusError:
    """There is no room for one more process."""
    return DBusError(errors.SPAWN_FORK_FAILED, f"Failed to fork ({error.strerror})")


def cannot_execute(name: str, error: OSError) -> DBusError:
    """The program could not be executed."""
    return DBusError(errors.SPAWN_EXEC_FAILED, f"Failed to execute program {name}: {error.strerror}")


def child_ended(name: str, status: int, *, helper: bool) -> DBusError | None:
    """Say what an end as of wait(2) means; None: it may have gone into the background, and still come."""
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
