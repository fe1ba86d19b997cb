"""Waiting for sockets that are waited for only briefly."""

import select
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final, Generic, TypeVar

from .guard import Guard, ignored
from .loop import Loop

MOST: Final = 64  # sockets that are handled before others of the loop get their turn

T = TypeVar("T")


class Watch(Enum):
    """What somebody waits for on a socket."""

    NOTHING = 0
    READ = 1
    WRITE = 2


_EVENTS: Final = {Watch.READ: select.EPOLLIN, Watch.WRITE: select.EPOLLOUT}


class Poller(Generic[T]):
    """Tells ``ready`` who can read or write what it waited for; ``failed`` ends one for which that raises.

    The loop watches one descriptor for all of them: for each it would need an object, and five system calls.
    """

    def __init__(
        self,
        loop: Loop,
        guard: Guard,
        ready: Callable[[T], None],
        failed: Callable[[T, Exception], None],
    ) -> None:
        self._loop = loop
        self._guard = guard
        self._ready = ready
        self._failed = failed
        self._epoll = select.epoll()
        self._waiting: dict[int, T] = {}
        loop.reader(self._epoll.fileno(), self._poll, ignored)

    def set(self, fd: int, before: Watch, watch: Watch, who: T) -> None:
        """Wait on ``fd`` for something else than ``before``, at last for nothing."""
        if watch is Watch.NOTHING:
            self._waiting.pop(fd, None)
            self._epoll.unregister(fd)
            return
        if before is Watch.NOTHING:
            self._epoll.register(fd, _EVENTS[watch])
        else:
            self._epoll.modify(fd, _EVENTS[watch])
        self._waiting[fd] = who

    def close(self) -> None:
        """Wait no more."""
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _poll(self) -> None:
        for fd, _ in self._epoll.poll(0, MOST):
            who = self._waiting.get(fd)
            if who is not None:  # not dropped by one before it
                self._guard.run(partial(self._ready, who), partial(self._failed, who))
