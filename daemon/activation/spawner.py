"""The programs that the bus starts, and their exit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from weakref import WeakSet

from ...systemd.journal import open_stream
from ..guard import Failed
from ..launch._launch import ffi, lib
from ..loop import Loop
from .tools import CannotExecute, CannotFork, Program

INFO = 6
WARNING = 4


class Running:
    """A running program, which is reaped when it exits."""

    def __init__(
        self, loop: Loop, pid: int, pidfd: int, ended: Callable[[int], object], failed: Failed
    ) -> None:
        self._loop = loop
        self._pid: int | None = pid
        self._pidfd = pidfd
        self._ended = ended
        loop.reader(pidfd, self._reap, failed)

    @property
    def pid(self) -> int | None:
        """The pid, None once it has been reaped."""
        return self._pid

    def kill(self) -> None:
        """Kill the program."""
        # Its pid can't be reused before it is reaped; a sandbox may forbid pidfd_send_signal(2).
        try:
            if self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)
        except OSError:
            pass  # a launch helper has changed its user

    def _reap(self) -> None:
        pid, self._pid = self._pid, None
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        assert pid is not None
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            status = 0  # a child of the bus that has crashed: only that it has ended is known
        self._ended(status)


class Spawner:
    """Starts programs; ``fd_limit`` is the limit that the bus was started with.

    ``to_journal``: the programs' output goes to the journal under their own names instead of the bus's.
    """

    def __init__(
        self,
        loop: Loop,
        fd_limit: tuple[int, int] | None = None,
        *,
        to_journal: bool = False,
    ) -> None:
        self._loop = loop
        self._fd_limit = fd_limit
        self._to_journal = to_journal
        # The loop keeps each until it is reaped.
        self._running: WeakSet[Running] = WeakSet()

    @property
    def children(self) -> list[int]:
        """The pids of the programs that have not been reaped."""
        return sorted(one.pid for one in self._running if one.pid is not None)

    def adopt(self, pid: int, ended: Callable[[int], object], failed: Failed) -> Running:
        """Reap a child that this process has started before execve(2); arguments as of ``spawn``.

        Raises OSError if there is no such process.
        """
        pidfd = os.pidfd_open(pid)
        try:
            return self._keep(Running(self._loop, pid, pidfd, ended, failed))
        except Exception:
            os.close(pidfd)
            raise

    def _keep(self, running: Running) -> Running:
        self._running.add(running)
        return running

    def spawn(self, program: Program, ended: Callable[[int], object], failed: Failed) -> Running:
        """Start a program; raises CannotFork or CannotExecute. ``ended`` gets the wait(2) status."""
        streams = [
            open_stream(program.name, level) if self._to_journal else None for level in (INFO, WARNING)
        ]
        try:
            pid, pidfd = self._start(program, [-1 if fd is None else fd for fd in streams])
        finally:
            for fd in streams:
                if fd is not None:
                    os.close(fd)
        try:
            return self._keep(Running(self._loop, pid, pidfd, ended, failed))
        except Exception:
            # Without a reader it would never be reaped.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(pidfd)
            raise

    def _start(self, program: Program, streams: Sequence[int]) -> tuple[int, int]:
        environment = [f"{key}={value}" for key, value in program.environment.items()]
        argv, environ = _strings(program.argv), _strings(environment)
        wanted = ffi.new("struct spawn_program *")
        wanted.argv, wanted.environment = argv[0], environ[0]
        wanted.output, wanted.error = streams
        if self._fd_limit is not None:
            wanted.limit_fds = True
            wanted.soft_fds, wanted.hard_fds = (limit % 2**64 for limit in self._fd_limit)
        result = ffi.new("struct spawn_result *")
        lib.spawn(wanted, result)
        if result.failed:
            failure = CannotFork if result.failed == lib.SPAWN_FORK else CannotExecute
            raise failure(result.error_number, os.strerror(result.error_number))
        return result.pid, result.pidfd


def _strings(texts: Sequence[str]) -> tuple[object, list[object]]:
    """Return a NULL-terminated array of C strings, and the objects that own its memory."""
    strings = [ffi.new("char[]", text.encode("utf-8", "surrogateescape")) for text in texts]
    return ffi.new("char *[]", [*strings, ffi.NULL]), strings
