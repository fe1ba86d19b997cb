"""Reading the configuration in a short-lived process, at the start and again later."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from select import select
from typing import TYPE_CHECKING, Final, NoReturn

from ..policy.error import ConfigError
from ..policy.load import read_result, run_child
from ..policy.settings import Settings

if TYPE_CHECKING:
    # Not at run time: the child is to begin before this process imports what takes long.
    import asyncio

NICE: Final = 10  # clients come first
PATIENCE: Final = 60.0  # seconds


class FirstReading:
    """A child that reads the configuration while this process imports its own parts.

    ``began`` is when, in seconds since 1970: what changes after that may have escaped it.
    """

    def __init__(self, path: str, own_path: str | None = None) -> None:
        self.began = time.time()
        self._fd, writing = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._fd)
            _read(path, writing, own_path)
        os.close(writing)

    def is_over(self) -> bool:
        """Tell whether ``result`` wouldn't wait, or not for long."""
        return bool(select([self._fd], [], [], 0)[0])

    def result(self) -> Settings:
        """Wait for the settings; raises ConfigError."""
        parts = []
        while part := os.read(self._fd, 65536):
            parts.append(part)
        os.close(self._fd)
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            pass  # SIGCHLD is ignored, as we were started
        return read_result(b"".join(parts))


def _read(path: str, fd: int, own_path: str | None) -> NoReturn:
    code = 1
    try:
        code = run_child(path, fd, own_path)
    finally:
        os._exit(code)


class Rereading:
    """One more reading, in a fresh process, without keeping the loop waiting.

    ``done`` is told the settings or the ConfigError, unless ``cancel`` comes first. A child that hangs (in a
    look-up of a user, say) is given up after a minute. Raises OSError if there can be no child.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        path: str,
        done: Callable[[Settings | ConfigError], None],
        patience: float = PATIENCE,
    ) -> None:
        self._loop = loop
        self._path = path
        self._done = done
        self._data = bytearray()
        self._late = False
        self._fd, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid = self._spawn(writing)
        except OSError:
            os.close(self._fd)
            raise
        finally:
            os.close(writing)
        self._pidfd = os.pidfd_open(self._pid)
        loop.add_reader(self._fd, self._receive)
        self._timer = loop.call_later(patience, self._give_up)

    def cancel(self) -> None:
        """End the child; nobody is told."""
        self._kill()
        self._close()

    def _spawn(self, writing: int) -> int:
        # -P: what lies in the current directory is not to be imported by who may be root.
        arguments = [sys.executable, "-P", "-m", "omnibus.policy", self._path, "--fd", str(writing)]
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
        else:
            self._loop.remove_reader(self._fd)
            self._loop.add_reader(self._pidfd, self._end)

    def _end(self) -> None:
        self._close()
        result: Settings | ConfigError
        try:
            result = read_result(bytes(self._data))
        except ConfigError as error:
            late = "Reading the configuration took too long"
            result = ConfigError(self._path, 0, late) if self._late else error
        self._done(result)

    def _give_up(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> None:
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _close(self) -> None:
        self._timer.cancel()
        for fd in (self._fd, self._pidfd):
            self._loop.remove_reader(fd)
            os.close(fd)
        os.waitpid(self._pid, 0)


def _named_fd(path: str) -> list[int]:
    directory, name = os.path.split(path)
    return [int(name)] if directory in ("/proc/self/fd", "/dev/fd") and name.isdigit() else []
