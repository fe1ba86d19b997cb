"""Watches the files and directories that the configuration comes from (inotify(7))."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ..policy.settings import Settings
from ..transport.relay import inotify
from ..transport.relay.inotify import Inotify
from .guard import Action, Failed
from .logging import Log
from .loop import Loop

QUIET: Final = 0.1  # seconds without a change before ``changed`` is called
PATIENCE: Final = 1.0  # seconds after which ``changed`` is called in any case
TICK: Final = 0.02  # seconds by which the times of a file may lag behind the clock
ROUNDS: Final = 20  # in which directories may appear while others are being watched
SUFFIXES: Final = (".conf", ".service")
ITSELF: Final = inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT
CHANGES: Final = (
    inotify.CLOSE_WRITE
    | inotify.MOVE
    | inotify.CREATE
    | inotify.DELETE
    | inotify.ATTRIB
    | inotify.DELETE_SELF
    | inotify.MOVE_SELF
    | inotify.ONLYDIR
)

Names = dict[str, bool]
"""The relevant names in a directory; a member of SUFFIXES stands for all names with that suffix.

False: only a directory on the way to a missing file, so its appearance moves the watch and changes nothing.
"""


class Watch:
    """Calls ``changed`` once for a burst of changes; ``failed`` as of ``guard.py``.

    Only directories are watched, since most programs replace a file instead of writing to it. A missing file
    is awaited in its nearest existing parent, which causes no call until the file itself appears.
    """

    def __init__(self, loop: Loop, changed: Action, failed: Failed, log: Log) -> None:
        self._loop = loop
        self._changed = changed
        self._failed = failed
        self._log = log
        self._directories: Sequence[str] = ()
        self._files: Sequence[str] = ()
        self._missing: Sequence[str] = ()
        self._names: dict[int, Names] = {}
        self._paths: dict[int, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._latest = 0.0
        self._inotify: Inotify | None = None
        try:
            self._inotify = Inotify()
        except OSError as error:
            log.warning(f"Cannot initialize inotify: {error.strerror}")
        else:
            loop.reader(self._inotify.fd, self.drain, failed)

    def close(self) -> None:
        """Stop watching."""
        self._forget()
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None

    def set(self, settings: Settings, began: float, more: Iterable[str] = ()) -> None:
        """Watch the files of a configuration, and ``more``.

        ``began`` is the time when its reading began, as of time.time(): changes since then are detected.
        """
        if self._inotify is None:
            return
        self._directories = settings.watched_dirs
        self._files = (*settings.files, *settings.missing, *more)
        self._missing = [one for one in (*self._directories, *self._files) if not os.path.lexists(one)]
        old = self._names.keys()
        self._place(self._inotify)
        if not self._names.keys() <= old and _has_changed(settings, began - TICK):
            self._note()

    def catch_up(self) -> None:
        """Forget changes so far, since a new reading will see them."""
        self.drain()
        self._forget()

    def drain(self) -> None:
        """Read the events of the kernel."""
        moved = False
        for event in self._inotify.events() if self._inotify is not None else ():
            matters = self._matters(*event)
            if matters:
                self._note()
            moved = moved or matters is False
        if moved and self._inotify is not None:
            self._place(self._inotify)
            if any(os.path.lexists(one) for one in self._missing):
                self._note()

    def _place(self, queue: Inotify) -> None:
        """Watch where the files are, or will be, and nowhere else."""
        old, found = self._names, None
        for _ in range(ROUNDS):
            # Until a directory that is missing is certain to be reported.
            if found == (found := places(self._directories, self._files)):
                break
            self._names, self._paths = {}, {}
            for directory, names in found.items():
                self._add(queue, directory, names)
        for watch in old.keys() - self._names.keys():
            _remove(queue, watch)

    def _add(self, queue: Inotify, directory: str, names: Names) -> None:
        try:
            watch = queue.add(directory, CHANGES)
        except (FileNotFoundError, NotADirectoryError):
            return  # removed since; its event triggers another reading
        except OSError as error:
            text = f"Cannot setup inotify for '{directory}'; error '{error.strerror}'"
            self._log.recurrent(f"inotify {directory}", text)
            return
        # One directory may have several paths.
        _add_names(self._names.setdefault(watch, {}), names)
        self._paths[watch] = directory

    def _matters(self, watch: int, mask: int, name: str) -> bool | None:
        """Return True for a change, False if only watches have to be moved, None for anything else."""
        if mask & inotify.OVERFLOW:
            return True
        names = self._names.get(watch)
        if names is None:
            return None
        if not name:
            return any(names.values()) if mask & ITSELF else None
        matters = names.get(name)
        if names.keys() >= set(SUFFIXES) and name.endswith(SUFFIXES):
            matters = True
        # A file that is being written is read once it is closed.
        complete = not mask & inotify.CREATE or bool(mask & inotify.ISDIR)
        if matters and not complete and _is_new_file(os.path.join(self._paths[watch], name)):
            return None
        return matters

    def _note(self) -> None:
        now = self._loop.time()
        if self._timer is None:
            self._latest = now + PATIENCE
        else:
            self._timer.cancel()
        self._timer = self._loop.at(min(now + QUIET, self._latest), self._notify, self._failed)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _notify(self) -> None:
        self._timer = None
        self._changed()


def places(directories: Iterable[str], files: Iterable[str]) -> dict[str, Names]:
    """Return the existing directories to watch for these directories and files, existing or not."""
    found: dict[str, Names] = {}

    def add(path: str) -> None:
        itself = True
        directory, name = os.path.split(path.rstrip("/"))
        while directory not in found and not os.path.isdir(directory) and directory != "/":
            directory, name = os.path.split(directory.rstrip("/"))
            itself = False
        _add_names(found.setdefault(directory, {}), {name: itself})

    for directory in _absolute(directories):
        if not os.path.isdir(directory) or os.path.islink(directory.rstrip("/")):
            add(directory)
        if os.path.isdir(directory):
            _add_names(found.setdefault(directory.rstrip("/") or "/", {}), dict.fromkeys(SUFFIXES, True))
    for file in files:
        if os.path.isabs(file) and not file.startswith(("/proc/", "/dev/")):
            add(file)
            if os.path.islink(file):
                add(os.path.realpath(file))
    return found


def _add_names(names: Names, more: Names) -> None:
    for name, itself in more.items():
        names[name] = itself or names.get(name, False)


def _absolute(directories: Iterable[str]) -> Iterator[str]:
    """Yield absolute paths: $XDG_DATA_DIRS, for example, may have relative ones."""
    for directory in directories:
        try:
            yield os.path.abspath(directory)
        except OSError:
            pass  # the current directory is gone


def _is_new_file(path: str) -> bool:
    """Return True if a created file is yet to be written: not a link, symbolic or hard."""
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


def _remove(queue: Inotify, watch: int) -> None:
    try:
        queue.remove(watch)
    except OSError:
        pass  # gone with its directory
