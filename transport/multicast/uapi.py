"""The calls of unix_multicast(7) that the control plane makes; the data plane makes the others by itself.

Each is one ioctl(2), and raises OSError with what the manual page says of it.
"""

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
"""What a filter answers, UMC_UNICAST | 3 for instance."""


def unicast(index: int) -> Verdict:
    """To the member of that index."""
    return int(lib.UMC_UNICAST) | index


class Uapi:
    """The system calls on the device and on a group; a test has one of its own, where they fail."""

    def open(self) -> int:
        """Open the device; the descriptor belongs to the caller."""
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)

    def version(self, device: int) -> int:
        """Return the version of the interface that the kernel has."""
        version = ffi.new("__u32 *")
        _call(device, lib.UMC_GET_VERSION, version)
        return int(version[0])

    def create(self, device: int, *, max_members: int, max_pending: int) -> int:
        """Make a group in which what does not fit asks; its descriptor belongs to the caller."""
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

    def add(self, group: int, index: int, *, listener: int, accepted: int) -> None:
        """Make the peer of an accepted connection a member."""
        fields = {"listener_fd": listener, "accepted_fd": accepted, "index": index}
        _call(group, lib.UMC_ADD, ffi.new("struct umc_add *", fields))

    def set_filter(self, group: int, index: int, which: int, verdicts: Sequence[Verdict]) -> None:
        """Give a member a filter, EGRESS or INGRESS, of programs that always answer the same."""
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
        """Let a member send directly; False: something of it is still on its way to us."""
        entry = ffi.new("struct umc_release_entry *", {"index": index})
        fields = {"entries": int(ffi.cast("uintptr_t", entry)), "count": 1}
        return _call(group, lib.UMC_RELEASE, ffi.new("struct umc_release *", fields)) == 1

    def remove(self, group: int, index: int) -> None:
        """Make a member an ordinary socket; its index is not free yet."""
        _call(group, lib.UMC_REMOVE, ffi.new("struct umc_index *", {"index": index}))

    def forget(self, group: int, index: int) -> None:
        """Free the index of a member that has gone."""
        _call(group, lib.UMC_FORGET, ffi.new("struct umc_index *", {"index": index}))


def _call(fd: int, request: int, argument: Any) -> int:
    return int(fcntl.ioctl(fd, request, ffi.buffer(argument), True))
