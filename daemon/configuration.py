"""Reading the configuration in a short-lived child process, while clients are served."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable
from select import select
from typing import TYPE_CHECKING, Final, NoReturn

from ..policy.error import ConfigError
from ..policy.load import load, read_result, run_child
from ..policy.settings import PASSED_OVER, ConfigWarning, Settings
from . import daemonize

if TYPE_CHECKING:
    # Not at run time: the child is started before this process imports large modules.
    import asyncio

    from .loop import Loop

NICE: Final = 10  # clients have priority
PATIENCE: Final = 60.0  # seconds
TOO_LONG: Final = "Reading the configuration took too long"
# No process can be created, because of a limit or a sandbox.
NO_CHILD: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EPERM, errno.ENOSYS)


class ForkedReading:
    """A child that reads the configuration while this process, whose clients are served, imports its parts.

    The child closes their connections, so that they end when the bus ends them. If no child can be created
    this process reads the configuration.
    """

    def __init__(self, path: str, own_path: str | None = None) -> None:
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
                _close_others({writing, *named_fd(path)})
                _read(path, writing, own_path)
        os.close(writing)

    def result(self, patience: float) -> Settings:
        """Wait for the settings; raises ConfigError, also if they don't begin within ``patience`` seconds."""
        if not self._pid:
            return load(self._path, self._own_path)
        parts = []
        in_time = bool(select([self._fd], [], [], patience)[0])
        while in_time and (part := os.read(self._fd, 65536)):
            parts.append(part)
        os.close(self._fd)
        how = _reap(self._pid)
        if not in_time:
            raise ConfigError(self._path, 0, TOO_LONG)
        return read_result(b"".join(parts), how)


def _read(path: str, fd: int, own_path: str | None) -> NoReturn:
    code = 1
    try:
        code = run_child(path, fd, own_path)
    finally:
        os._exit(code)


def _close_others(kept: Collection[int]) -> None:
    """Close all descriptors but these and the standard ones."""
    for fd in daemonize.open_fds():
        if fd > 2 and fd not in kept:
            try:
                os.close(fd)
            except OSError:
                pass  # that of the listing


class Rereading:
    """Another reading, in a new process, without blocking the loop.

    ``done`` is called with the settings or the ConfigError, unless ``cancel`` is called before. A child that
    hangs, for example in a look-up of a user, is killed after a minute. If no child can be created this
    process reads the configuration, which blocks the loop. Raises OSError for lack of other resources.

    The end of the pipe is the end of the answer; then the child is killed and reaped. It is not watched by a
    pidfd, which a sandbox may forbid.
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
        """End the child without calling ``done``."""
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
        # -I: like omnibusd, it ignores the environment and the current directory for imports.
        arguments = [sys.executable, "-I", "-m", "omnibus.policy", self._path, "--fd", str(writing)]
        # The child inherits a descriptor that the path names: /proc/self/fd/N.
        keep = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in (writing, *named_fd(self._path))]
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
        self._done(ConfigError(self._path, 0, TOO_LONG))

    def _failed(self, error: Exception) -> None:
        """Report the exception as the result (``guard.py``)."""
        self._close()
        self._done(ConfigError(self._path, 0, f"Reading the configuration failed: {error!r}"))

    def _close(self) -> int | None:
        """End the reading, once; return the wait(2) status of the child."""
        if self._timer is not None:
            self._timer.cancel()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._loop.remove_reader(fd)
            os.close(fd)
        pid, self._pid = self._pid, None
        return None if pid is None else _reap(pid)


def _reap(pid: int) -> int | None:
    """End a child that has answered; return its wait(2) status, None if it is unknown."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            # Not reaped yet, so the pid is still its own. It has closed the pipe, and may be about to end.
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return None  # SIGCHLD was ignored by the parent process
    return status


def passed_over(warnings: Iterable[ConfigWarning]) -> str:
    """Return the files with errors that the others do without, for the status line; "" if there are none."""
    files = dict.fromkeys(one.file for one in warnings if one.reason.startswith(PASSED_OVER))
    return f"; passed over: {', '.join(files)}" if files else ""


def named_fd(path: str) -> list[int]:
    """Return the descriptor that a path names, if it does."""
    directory, name = os.path.split(path)
    return [int(name)] if directory in ("/proc/self/fd", "/dev/fd") and name.isdigit() else []
