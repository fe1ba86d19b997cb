"""Reading the configuration in a short-lived process, at the start and again later."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from select import select
from typing import TYPE_CHECKING, Final, NoReturn

from ..policy.error import ConfigError
from ..policy.load import load, read_result, run_child
from ..policy.settings import Settings

if TYPE_CHECKING:
    # Not at run time: the child is to begin before this process imports what takes long.
    import asyncio

    from .loop import Loop

NICE: Final = 10  # clients come first
PATIENCE: Final = 60.0  # seconds
# No process can be had: a limit or a sandbox.
NO_CHILD: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EPERM, errno.ENOSYS)


class FirstReading:
    """A child that reads the configuration while this process imports its own parts.

    Where there can be no child this process reads it itself. ``began`` is when, in seconds since 1970: what
    changes after that may have escaped it.
    """

    def __init__(self, path: str, own_path: str | None = None) -> None:
        self.began = time.time()
        self._path = path
        self._own_path = own_path
        self._fd = -1
        self._pid = 0
        try:
            self._fd, writing = os.pipe2(os.O_CLOEXEC)
        except OSError:
            return
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._fd)
        else:
            if self._pid == 0:
                os.close(self._fd)
                _read(path, writing, own_path)
        os.close(writing)

    def is_over(self) -> bool:
        """Tell whether ``result`` wouldn't wait, or not for long."""
        return self._pid != 0 and bool(select([self._fd], [], [], 0)[0])

    def result(self) -> Settings:
        """Wait for the settings; raises ConfigError."""
        if not self._pid:
            return load(self._path, self._own_path)
        parts = []
        while part := os.read(self._fd, 65536):
            parts.append(part)
        os.close(self._fd)
        return read_result(b"".join(parts), _reap(self._pid))


def _read(path: str, fd: int, own_path: str | None) -> NoReturn:
    code = 1
    try:
        code = run_child(path, fd, own_path)
    finally:
        os._exit(code)


class Rereading:
    """One more reading, in a fresh process, without keeping the loop waiting.

    ``done`` is told the settings or the ConfigError, unless ``cancel`` comes first. A child that hangs (in a
    look-up of a user, say) is given up after a minute. Where there can be no child this process reads the
    configuration itself, which keeps the loop waiting. Raises OSError if what is missing is no process.

    The end of the pipe says that the child has given its answer, so nothing else of it is waited for: no
    pidfd, which a sandbox may forbid. What is left of it then is killed and reaped.
    """

    def __init__(
        self,
        loop: Loop,
        path: str,
        done: Callable[[Settings | ConfigError], None],
        patience: float = PATIENCE,
    ) -> None:
        self._loop = loop
        self._path = path
        self._done = done
        self._data = bytearray()
        self._fd = -1
        self._pid: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        try:
            self._begin()
            self._timer = loop.later(patience, self._give_up, self._failed)
        except Exception as error:
            self._close()
            if not isinstance(error, OSError) or error.errno not in NO_CHILD:
                raise
            self._timer = loop.later(0, self._read_here, self._failed)

    def cancel(self) -> None:
        """End the child without calling back."""
        self._close()

    def _begin(self) -> None:
        self._fd, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid = self._spawn(writing)
        finally:
            os.close(writing)
        self._loop.reader(self._fd, self._receive, self._failed)

    def _read_here(self) -> None:
        result: Settings | ConfigError
        try:
            result = load(self._path)
        except ConfigError as error:
            result = error
        self._done(result)

    def _spawn(self, writing: int) -> int:
        # -I: as omnibusd itself, it imports nothing because of the environment or the current directory.
        arguments = [sys.executable, "-I", "-m", "omnibus.policy", self._path, "--fd", str(writing)]
        # Descriptors that the path itself may name are not kept from the child: /proc/self/fd/N.
        keep = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in (writing, *_named_fd(self._path))]
        pid = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=keep)
        try:
            os.setpriority(os.PRIO_PROCESS, pid, NICE)
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
        except OSError:
            pass  # a sandbox may forbid it
        return pid

    def _receive(self) -> None:
        part = os.read(self._fd, 65536)
        if part:
            self._data += part
            return
        how = self._close()
        try:
            result: Settings | ConfigError = read_result(bytes(self._data), how)
        except ConfigError as error:
            result = error
        self._done(result)

    def _give_up(self) -> None:
        self._close()
        self._done(ConfigError(self._path, 0, "Reading the configuration took too long"))

    def _failed(self, error: Exception) -> None:
        """Give the exception for the result (``guard.py``)."""
        self._close()
        self._done(ConfigError(self._path, 0, f"Reading the configuration failed: {error!r}"))

    def _close(self) -> int | None:
        """End what is under way, once; return what wait(2) says of the child."""
        if self._timer is not None:
            self._timer.cancel()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._loop.remove_reader(fd)
            os.close(fd)
        pid, self._pid = self._pid, None
        return None if pid is None else _reap(pid)


def _reap(pid: int) -> int | None:
    """End a child that has nothing more to say; return what wait(2) says, None if it was not asked."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            # Not reaped: the number is still its own. It may be about to end by itself: it closed the pipe.
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return None  # SIGCHLD is ignored, as we were started
    return status


def _named_fd(path: str) -> list[int]:
    directory, name = os.path.split(path)
    return [int(name)] if directory in ("/proc/self/fd", "/dev/fd") and name.isdigit() else []
