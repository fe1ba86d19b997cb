"""Tests that read the machine's own files twice, and may fail if they change in between."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

USERS: Final = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")
TRIALS: Final = 10


def _stamps(paths: tuple[str, ...]) -> list[tuple[str, int, int]]:
    found = []
    for path in paths:
        for one in (Path(path), *sorted(Path(path).rglob("*"))):
            try:
                status = os.stat(one)
            except OSError:
                continue
            found.append((str(one), status.st_ino, status.st_mtime_ns))
    return found


def retry_on_changes_of(*paths: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Repeat a test that fails while these files, or files in these directories, change.

    A package manager may be at work. The fixtures are reused, so the test must be repeatable.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            for _ in range(TRIALS - 1):
                before = _stamps(paths)
                try:
                    test(*args, **kwargs)
                    return
                except Exception:
                    if _stamps(paths) == before:
                        raise
            test(*args, **kwargs)

        return run

    return decorate
