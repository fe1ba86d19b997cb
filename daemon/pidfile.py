"""The file with the daemon's process id."""

import os


class PidFileError(Exception):
    """The file can't be written; the text is the reference's."""


def check(path: str) -> None:
    """Raise PidFileError if the file exists, before anything is bound or overwritten."""
    if os.path.exists(path):
        raise PidFileError(
            f'The pid file "{path}" exists, if the message bus is not running, remove this file'
        )


def write(path: str, pid: int) -> None:
    """Create the file; raises PidFileError, also if it has been created since ``check``."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise PidFileError(f'Failed to open "{path}": {error.strerror}') from error
    try:
        os.write(fd, f"{pid}\n".encode())
    except OSError as error:
        raise PidFileError(f'Failed to write to "{path}": {error.strerror}') from error
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Delete the file if permissions allow: the process may have changed its user."""
    try:
        os.unlink(path)
    except OSError:
        pass
