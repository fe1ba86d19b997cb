"""The rehearsal: a child of the installed program reads the state, and touches nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ... import __version__
from ...policy.error import ConfigError
from ...policy.load import describe
from ...transport.relay.resumption import LIBRARY

if TYPE_CHECKING:
    import asyncio

    from ..loop import Loop

SECONDS: Final = 30.0
NICE: Final = 10  # clients have priority
MAX_ANSWER: Final = 65536

Answered = Callable[[str, str, str], object]
"""Called with its version, "" and the path of its library, or with "", the reason of a failure, and ""."""


class Rehearsal:
    """A running rehearsal; ``done`` is called once, unless it is cancelled. Raises OSError."""

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        environment: Mapping[bytes, bytes],
        state: int,
        done: Answered,
        seconds: float = SECONDS,
    ) -> None:
        self._loop = loop
        self._done = done
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None
        self._fd, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self._pid: int | None = _spawn(command, environment, state, writing)
        except OSError:
            os.close(self._fd)
            raise
        finally:
            os.close(writing)
        loop.reader(self._fd, self._receive, self._failed)
        self._timer = loop.later(seconds, self._give_up, self._failed)

    def cancel(self) -> None:
        """End it without an answer."""
        self._close()

    def _receive(self) -> None:
        part = os.read(self._fd, MAX_ANSWER)
        self._data += part
        if part and len(self._data) <= MAX_ANSWER:
            return
        status = self._close()
        self._done(*_read(self._data, status))

    def _give_up(self) -> None:
        self._close()
        self._done("", "The rehearsal of the new program took too long", "")

    def _failed(self, error: Exception) -> None:
        if self._close() is not None:
            self._done("", f"The rehearsal failed: {error!r}", "")

    def _close(self) -> int | None:
        """End and reap the child, once; return its wait(2) status."""
        pid, self._pid = self._pid, None
        if self._timer is not None:
            self._timer.cancel()
        if pid is None:
            return None
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        found, status = os.waitpid(pid, os.WNOHANG)
        if not found:
            # Its answer ends when it does: unless it hangs, it is about to be reaped.
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        return status


def _spawn(command: Sequence[str], environment: Mapping[bytes, bytes], state: int, writing: int) -> int:
    keep = [(os.POSIX_SPAWN_DUP2, state, state), (os.POSIX_SPAWN_DUP2, writing, 1)]
    pid = os.posix_spawn(command[0], list(command), environment, file_actions=keep, setsigmask=())
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
    except OSError:
        pass  # a sandbox may forbid it
    return pid


def _read(data: bytes, status: int | None) -> tuple[str, str, str]:
    try:
        answer = json.loads(data)
        version, error = str(answer["version"]), str(answer["error"])
        library = str(answer.get("library", ""))
    except (ValueError, TypeError, KeyError, RecursionError):
        code = 0 if status is None else os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return "", f"The new program did not answer in its rehearsal ({how})", ""
    if error:
        return "", f"The new program ({version}) can't go on: {error}", ""
    return version, "", library


def answer(rehearse: Callable[[], None]) -> int:
    """Run the rehearsal in this process, and print the answer; return the exit code."""
    try:
        rehearse()
        error = ""
    except ConfigError as problem:
        error = str(problem)
    except Exception as problem:
        error = describe(problem)
    found = {"version": __version__, "error": error, "library": LIBRARY}
    print(json.dumps(found), file=sys.stdout, flush=True)
    return int(bool(error))
