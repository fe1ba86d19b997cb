"""Reading a configuration: in this process, or in a short-lived child that hands the result back.

Nothing here imports pydantic-core before a file is read, so that the serving process can import this module.
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
    """Return the settings that the file at path, all that it includes, and omnibus's own file make up.

    Raises ConfigError.
    """
    from .omnibus_conf import read_own
    from .reader import Reader

    settings = Reader().read(path)
    return settings.replace(multicast=read_own(own_path)) if own_path else settings


def run_child(path: str, fd: int, own_path: str | None = None) -> int:
    """Read the configuration and write the result to fd; return the exit code.

    Meant for a process that does nothing else and ends with this: right after os.fork(), or
    ``python -m omnibus.policy``. What it writes is for read_result(): 0 goes with settings, 1 with an error.
    """
    # The process won't live long enough for garbage to matter.
    gc.disable()
    try:
        result: dict[str, Any] = {"settings": load(path, own_path).to_plain()}
    except ConfigError as error:
        result = {"error": error.to_plain()}
    except Exception as error:
        result = {"error": ConfigError(path, 0, describe(error)).to_plain()}
    with open(fd, "wb", closefd=False) as stream:
        stream.write(encode(result))
    return int("error" in result)


def describe(error: Exception) -> str:
    """Say what was raised, and in which module and file: a module that is missing, say."""
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

    ``status``: how the child ended, as of wait(2), if that is known. Raises ConfigError: the one that the
    child met, or one that says that the child gave no answer, or was another omnibus's.
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
