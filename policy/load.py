"""Reading a configuration, in this process or in a short-lived child that returns the result.

This module imports what reads files only when a file is read, so that the daemon can import it.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

from .answer import OtherCode, decode, encode
from .error import ConfigError

if TYPE_CHECKING:
    from .settings import Settings


def load(path: str, own_path: str | None = None) -> Settings:
    """Return the settings of a file, the files it includes, and omnibus's own file.

    Raises ConfigError, whatever exception there was.
    """
    try:
        from .omnibus_conf import apply_own
        from .reader import Reader

        settings = Reader().read(path)
        return apply_own(own_path, settings) if own_path else settings
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(path, 0, describe(error)) from error


def run_child(path: str, fd: int, own_path: str | None = None) -> int:
    """Read the configuration and write the result to fd; return the exit code.

    To be called in a process of its own: right after os.fork(), or by ``python -m omnibus.policy``. The exit
    code is 0 for settings, 1 for an error; read_result() decodes either.
    """
    # The process is too short-lived for garbage collection to pay.
    gc.disable()
    try:
        result: dict[str, Any] = {"settings": load(path, own_path).to_plain()}
    except ConfigError as error:
        result = {"error": error.to_plain()}
    with open(fd, "wb", closefd=False) as stream:
        stream.write(encode(result))
    return int("error" in result)


def describe(error: Exception) -> str:
    """Describe an unexpected exception, with its module and file: a missing module, for example."""
    reason = f"{type(error).__name__}: {error}"
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None:
        return reason
    module = at.tb_frame.f_globals.get("__name__")
    return f"{reason} (in module {module}, {at.tb_frame.f_code.co_filename}:{at.tb_lineno})"


def read_result(data: bytes, status: int | None = None) -> Settings:
    """Return the settings that run_child() wrote.

    ``status`` is the wait(2) status of the child, if known. Raises ConfigError: the child's, or one that says
    that the child has not answered, or is from another version.
    """
    from .settings import Settings

    try:
        result = decode(data)
    except ValueError:
        raise ConfigError("configuration", 0, _no_result(status)) from None
    except OtherCode as error:
        raise ConfigError("configuration", 0, str(error)) from None
    if "error" in result:
        raise ConfigError.from_plain(result["error"])
    return Settings.from_plain(result["settings"])


def _no_result(status: int | None) -> str:
    text = "The process that reads it ended without a result"
    if status is None:
        return text
    code = os.waitstatus_to_exitcode(status)
    return f"{text} (signal {-code})" if code < 0 else f"{text} (exit status {code})"
