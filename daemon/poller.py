"""Polling of sockets that are watched only for a short time."""

import select
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final, Generic, TypeVar

from .guard import Guard, ignored
from .loop import Loop

MAX_READY: Final = 64  # sockets that are handled in one iteration of the loop

T = TypeVar("T")


class Interest(Enum):
    """The event that is polled on a socket."""

    NOTHING = 0
    READ = 1
    WRITE = 2


_EVENTS: Final = {Interest.READ: select.EPOLLIN, Interest.WRITE: select.EPOLLOUT}


class Poller(Generic[T]):
    """Calls ``ready`` with the item of a readable or writable socket; ``failed`` ends it if that raises.

    The loop watches one epoll descriptor for all: for each socket it would need an object and five system
    calls.
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

    def set(self, fd: int, before: Interest, interest: Interest, item: T) -> None:
        """Change the event that is polled on ``fd`` from ``before`` to ``interest``, possibly NOTHING."""
        if interest is Interest.NOTHING:
            self._waiting.pop(fd, None)
            self._epoll.unregister(fd)
            return
        if before is Interest.NOTHING:
            self._epoll.register(fd, _EVENTS[interest])
        else:
            self._epoll.modify(fd, _EVENTS[interest])
        self._waiting[fd] = item

    def close(self) -> None:
        """Stop polling."""
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _poll(self) -> None:
        for fd, _ in self._epoll.poll(0, MAX_READY):
            item = self._waiting.get(fd)
            if item is not None:  # not dropped meanwhile by an earlier one
                self._guard.run(partial(self._ready, item), partial(self._failed, item))
