"""Watches the files and directories that the configuration comes from (inotify(7))."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from asyncinotify import Event, Inotify, Mask

from ..policy.settings import Settings
from .guard import Action, Failed
from .logging import Log
from .loop import Loop

QUIET: Final = 0.1  # seconds without a change, after which it is told
PATIENCE: Final = 1.0  # seconds after which it is told in any case
TICK: Final = 0.02  # seconds that a file's times may be behind the clock
SUFFIXES: Final = (".conf", ".service")
ITSELF: Final = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.UNMOUNT
CHANGES: Final = (
    Mask.CLOSE_WRITE
    | Mask.MOVE
    | Mask.CREATE
    | Mask.DELETE
    | Mask.ATTRIB
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLYDIR
)

Names = set[str]
"""Names that matter in a directory; SUFFIXES in it stand for all that end so."""


class Watch:
    """Calls ``changed`` once for changes that come together; ``failed`` as of ``guard.py``.

    Only directories are watched, since most programs replace a file instead of writing it. What isn't there
    yet is waited for in the nearest directory that is.

    Beside that it takes note of any change in directories that are ``follow``ed, without calling anything.
    """

    def __init__(self, loop: Loop, changed: Action, failed: Failed, log: Log) -> None:
        self._loop = loop
        self._changed = changed
        self._failed = failed
        self._log = log
        self._names: dict[int, Names] = {}
        self._followed: set[int] = set()
        self._changed_there = False
        self._timer: asyncio.TimerHandle | None = None
        self._latest = 0.0
        self._inotify: Inotify | None = None
        try:
            self._inotify = Inotify(sync_timeout=0)
        except OSError as error:
            log.warning(f"Cannot initialize inotify: {error.strerror}")
        else:
            loop.reader(self._inotify.fd, self.drain, failed)

    def close(self) -> None:
        """Watch no more."""
        self._forget()
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None

    def set(self, settings: Settings, began: float, more: Iterable[str] = ()) -> None:
        """Watch what a configuration was read from, and ``more``.

        ``began`` is when its reading began, as of time.time(): nothing that has changed in between is missed.
        """
        if self._inotify is None:
            return
        watches = {watch.wd: watch for watch in self._inotify.watches}
        self._names, old = {}, self._names
        files = (*settings.files, *settings.missing, *more)
        for directory, names in places(settings.watched_dirs, files).items():
            self._add(self._inotify, directory, names)
        for wd in old.keys() - self._names.keys() - self._followed:
            if wd in watches:
                _remove(self._inotify, watches[wd])
        if not self._names.keys() <= old.keys() and _has_changed(settings, began - TICK):
            self._note()

    def catch_up(self) -> None:
        """Forget changes so far: a reading begins, which will see them."""
        self.drain()
        self._forget()

    def drain(self) -> None:
        """Take what the kernel reports."""
        for event in self._inotify or ():
            if event.watch is None or event.watch.wd in self._followed:
                self._changed_there = True
            if self._matters(event):
                self._note()

    def follow(self, directories: Sequence[str]) -> bool:
        """Take note of changes in these directories from now on, and of no others.

        One that isn't there is passed over. Returns False if another can't be watched.
        """
        if self._inotify is None:
            return False
        self._followed, old = set(), self._followed
        watched = True
        for directory in directories:
            try:
                self._followed.add(self._inotify.add_watch(directory, CHANGES).wd)
            except (FileNotFoundError, NotADirectoryError):
                pass
            except OSError:
                watched = False
        watches = {watch.wd: watch for watch in self._inotify.watches}
        for wd in old - self._followed - self._names.keys():
            if wd in watches:
                _remove(self._inotify, watches[wd])
        self.drain()
        self._changed_there = False
        return watched

    def has_changed(self) -> bool:
        """Tell whether anything has changed in the directories since ``follow``."""
        self.drain()
        return self._inotify is None or self._changed_there

    def _add(self, inotify: Inotify, directory: str, names: Names) -> None:
        try:
            watch = inotify.add_watch(directory, CHANGES)
        except (FileNotFoundError, NotADirectoryError):
            return  # gone since; what was seen of that leads to the next reading
        except OSError as error:
            text = f"Cannot setup inotify for '{directory}'; error '{error.strerror}'"
            self._log.recurrent(f"inotify {directory}", text)
            return
        # One directory may have several paths.
        self._names.setdefault(watch.wd, set()).update(names)

    def _matters(self, event: Event) -> bool:
        if event.mask & Mask.Q_OVERFLOW:
            return True
        watch = event.watch
        names = None if watch is None else self._names.get(watch.wd)
        if watch is None or names is None:
            return False
        if event.name is None:
            return bool(event.mask & ITSELF)
        name = str(event.name)
        if name not in names and not (names.issuperset(SUFFIXES) and name.endswith(SUFFIXES)):
            return False
        # A file that is only being written is read when it is complete.
        complete = not event.mask & Mask.CREATE or bool(event.mask & Mask.ISDIR)
        return complete or not _is_new_file(os.path.join(watch.path, name))

    def _note(self) -> None:
        now = self._loop.time()
        if self._timer is None:
            self._latest = now + PATIENCE
        else:
            self._timer.cancel()
        self._timer = self._loop.at(min(now + QUIET, self._latest), self._tell, self._failed)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self) -> None:
        self._timer = None
        self._changed()


def places(directories: Iterable[str], files: Iterable[str]) -> dict[str, Names]:
    """Return the directories to watch, all there, for these directories and files, be they there or not."""
    found: dict[str, Names] = {}

    def add(path: str) -> None:
        directory, name = os.path.split(path.rstrip("/"))
        while directory not in found and not os.path.isdir(directory) and directory != "/":
            directory, name = os.path.split(directory.rstrip("/"))
        found.setdefault(directory, set()).add(name)

    for directory in _absolute(directories):
        if not os.path.isdir(directory) or os.path.islink(directory.rstrip("/")):
            add(directory)
        if os.path.isdir(directory):
            found.setdefault(directory.rstrip("/") or "/", set()).update(SUFFIXES)
    for file in files:
        if os.path.isabs(file) and not file.startswith(("/proc/", "/dev/")):
            add(file)
            if os.path.islink(file):
                add(os.path.realpath(file))
    return found


def _absolute(directories: Iterable[str]) -> Iterator[str]:
    """Say where directories are: a relative one of $XDG_DATA_DIRS, say, counts from the current one."""
    for directory in directories:
        try:
            yield os.path.abspath(directory)
        except OSError:
            pass  # the current directory is gone


def _is_new_file(path: str) -> bool:
    """Tell whether its content is yet to come: not of a link, be it a hard one."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _has_changed(settings: Settings, since: float) -> bool:
    if any(os.path.lexists(path) for path in settings.missing):
        return True
    try:
        times = [os.stat(path).st_ctime for path in settings.files]
    except OSError:
        return True
    for path in settings.watched_dirs:
        try:
            times.append(os.stat(path).st_ctime)
        except OSError:
            pass  # most of the standard directories don't exist
    return max(times, default=0.0) >= since


def _remove(inotify: Inotify, watch: object) -> None:
    try:
        inotify.rm_watch(watch)  # type: ignore[arg-type]
    except OSError:
        pass  # gone with its directory
