"""Reading the configuration in a short-lived process, at the start and again later."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from ..policy.error import ConfigError
from ..policy.load import read_result, run_child
from ..policy.settings import Settings

if TYPE_CHECKING:
    # Not at run time: the child is to begin before this process imports what takes long.
    import asyncio


class FirstReading:
    """A child that reads the configuration while this process imports its own parts."""

    def __init__(self, path: str) -> None:
        self._fd, writing = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._fd)
            _read(path, writing)
        os.close(writing)

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


def _read(path: str, fd: int) -> NoReturn:
    code = 1
    try:
        code = run_child(path, fd)
    finally:
        os._exit(code)


class Rereading:
    """Reads the configuration again, in a fresh process, without keeping the loop waiting."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, path: str, done: Callable[[Settings | Exception], None]
    ) -> None:
        self._loop = loop
        self._path = path
        self._done = done
        self._running = False
        self._again = False

    def start(self) -> None:
        """Begin, or begin once more when what is under way is over: the files may have changed since."""
        if self._running:
            self._again = True
            return
        self._running = True
        reading, writing = os.pipe2(os.O_CLOEXEC)
        # -P: what lies in the current directory is not to be imported by who may be root.
        arguments = [sys.executable, "-P", "-m", "omnibus.policy", self._path, "--fd", str(writing)]
        # Descriptors that the path itself may name are not kept from the child: /proc/self/fd/N.
        keep = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in (writing, *_named_fd(self._path))]
        try:
            pid = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=keep)
        except OSError as error:
            os.close(reading)
            self._finish(error)
            return
        finally:
            os.close(writing)
        self._loop.add_reader(reading, self._receive, reading, pid, bytearray())

    def _receive(self, fd: int, pid: int, data: bytearray) -> None:
        part = os.read(fd, 65536)
        if part:
            data += part
            return
        self._loop.remove_reader(fd)
        os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._loop.add_reader(pidfd, self._reap, pidfd, pid, bytes(data))

    def _reap(self, pidfd: int, pid: int, data: bytes) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        os.waitpid(pid, 0)
        try:
            self._finish(read_result(data))
        except ConfigError as error:
            self._finish(error)

    def _finish(self, result: Settings | Exception) -> None:
        self._running = False
        if self._again:
            self._again = False
            self.start()
        else:
            self._done(result)


def _named_fd(path: str) -> list[int]:
    directory, name = os.path.split(path)
    return [int(name)] if directory in ("/proc/self/fd", "/dev/fd") and name.isdigit() else []
