"""Waiting for sockets that are waited for only briefly."""

import asyncio
import select
from collections.abc import Callable
from enum import Enum
from typing import Final, Generic, TypeVar

MOST: Final = 64  # sockets that are handled before others of the loop get their turn

T = TypeVar("T")


class Watch(Enum):
    """What somebody waits for on a socket."""

    NOTHING = 0
    READ = 1
    WRITE = 2


_EVENTS: Final = {Watch.READ: select.EPOLLIN, Watch.WRITE: select.EPOLLOUT}


class Poller(Generic[T]):
    """Tells ``ready`` who can read or write what he waited for.

    The loop watches one descriptor for all of them: for each it would need an object, and five system calls.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ready: Callable[[T], None]) -> None:
        self._loop = loop
        self._ready = ready
        self._epoll = select.epoll()
        self._waiting: dict[int, T] = {}
        loop.add_reader(self._epoll.fileno(), self._poll)

    def set(self, fd: int, before: Watch, watch: Watch, who: T) -> None:
        """Wait on ``fd`` for something else than ``before``, at last for nothing."""
        if watch is Watch.NOTHING:
            del self._waiting[fd]
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
                self._ready(who)
