"""Threads stopped individually, as if they hung, while the other threads of their process run on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator, Sequence

DETACH = 17
SEIZE = 0x4206
INTERRUPT = 0x4207
ALL_KINDS = 0x40000000  # __WALL


@contextlib.contextmanager
def frozen(threads: Sequence[int]) -> Iterator[None]:
    """Stop these threads until the end, or until they are killed."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for thread in threads:
        for request in (SEIZE, INTERRUPT):
            if ptrace(request, thread, None, None) != 0:
                raise OSError(ctypes.get_errno(), "ptrace")
        os.waitpid(thread, ALL_KINDS)
    # The end of a process is visible only after the tracer of its threads has waited for them.
    seers = [threading.Thread(target=_see_end, args=(thread,), daemon=True) for thread in threads]
    for seer in seers:
        seer.start()
    try:
        yield
    finally:
        for thread in threads:
            ptrace(DETACH, thread, None, None)
        for seer in seers:
            seer.join()


def _see_end(thread: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.WIFSTOPPED(os.waitpid(thread, ALL_KINDS)[1]):
            pass
