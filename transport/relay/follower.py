"""Whether anything has changed where certain paths lead."""

import os
from typing import Any

from ._relay import ffi, lib


class Follower:
    """Follows paths from `add` on; `transport/relay/base/follower.h` says how, and what it can't follow.

    Without inotify, or memory, everything has always changed.
    """

    def __init__(self) -> None:
        found = lib.follower_new()
        self.native: Any = ffi.gc(found, lib.follower_free) if found else ffi.NULL

    def add(self, path: str) -> None:
        """Follows a path; one that is relative has always changed."""
        if self.native:
            lib.follower_add(self.native, os.fsencode(path))

    def changed(self) -> bool:
        """Tells whether anything has changed since it was added."""
        return not self.native or bool(lib.follower_changed(self.native))
