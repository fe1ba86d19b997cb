"""The calls of unix_multicast(7) that the probe makes; the data plane makes its own.

Each is one ioctl(2), and raises OSError as documented in the manual page.
"""

import errno
import fcntl
import os
from collections.abc import Sequence
from typing import Any, Final

from ._uapi import ffi, lib

DEVICE: Final = bytes(ffi.string(lib.UMC_DEVICE)).decode("ascii")
VERSION: Final = int(lib.UMC_VERSION)
EGRESS: Final = int(lib.UMC_FILTER_EGRESS)
INGRESS: Final = int(lib.UMC_FILTER_INGRESS)

Verdict = int
"""The result of a filter, for example UMC_UNICAST | 3."""


def unicast(index: int) -> Verdict:
    """Return the verdict that delivers to one member."""
    return int(lib.UMC_UNICAST) | index


class Uapi:
    """The system calls on the device and on a group; tests replace it to make them fail."""

    def open(self) -> int:
        """Open the device; the descriptor belongs to the caller."""
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)

    def version(self, device: int) -> int:
        """Return the version of the kernel's interface."""
        version = ffi.new("__u32 *")
        _call(device, lib.UMC_GET_VERSION, version)
        return int(version[0])

    def create(self, device: int, *, max_members: int, max_pending: int) -> int:
        """Make a group in ask mode; its descriptor belongs to the caller."""
        create = ffi.new(
            "struct umc_create *",
            {
                "version": VERSION,
                "mode": lib.UMC_MODE_ASK,
                "max_members": max_members,
                "max_pending": max_pending,
                "address_fd": -1,
            },
        )
        return _call(device, lib.UMC_CREATE, create)

    def can_watch(self, group: int) -> bool:
        """Return whether a descriptor can stop the group; an earlier module has no such call."""
        try:
            _call(group, lib.UMC_WATCH, ffi.new("struct umc_watch *", {"fd": -1}))
        except OSError as error:
            if error.errno == errno.ENOTTY:
                return False
            if error.errno != errno.EBADF:
                raise
        return True

    def add(self, group: int, index: int, *, listener: int, accepted: int) -> None:
        """Make the peer of an accepted connection a member."""
        fields = {"listener_fd": listener, "accepted_fd": accepted, "index": index}
        _call(group, lib.UMC_ADD, ffi.new("struct umc_add *", fields))

    def set_filter(self, group: int, index: int, which: int, verdicts: Sequence[Verdict]) -> None:
        """Set the EGRESS or INGRESS filter of a member to programs with constant verdicts."""
        programs = ffi.new("struct umc_program[]", len(verdicts))
        answers = [ffi.new("struct sock_filter *", (lib.BPF_RET | lib.BPF_K, 0, 0, one)) for one in verdicts]
        for program, answer in zip(programs, answers, strict=True):
            program.instructions = int(ffi.cast("uintptr_t", answer))
            program.length = 1
        fields = {
            "index": index,
            "which": which,
            "count": len(verdicts),
            "programs": int(ffi.cast("uintptr_t", programs)),
        }
        _call(group, lib.UMC_SET_FILTER, ffi.new("struct umc_filter *", fields))

    def release(self, group: int, index: int) -> bool:
        """Let a member send directly; return False while data from it is queued for the daemon."""
        entry = ffi.new("struct umc_release_entry *", {"index": index})
        fields = {"releases": int(ffi.cast("uintptr_t", entry)), "release_count": 1}
        _call(group, lib.UMC_WRITE, ffi.new("struct umc_write *", fields))
        return bool(entry.result >= 0)

    def remove(self, group: int, index: int) -> None:
        """Turn a member back into an ordinary socket; its index stays in use."""
        _call(group, lib.UMC_REMOVE, ffi.new("struct umc_index *", {"index": index}))

    def forget(self, group: int, index: int) -> None:
        """Free the index of a removed member."""
        _call(group, lib.UMC_FORGET, ffi.new("struct umc_index *", {"index": index}))


def _call(fd: int, request: int, argument: Any) -> int:
    return int(fcntl.ioctl(fd, request, ffi.buffer(argument), True))
