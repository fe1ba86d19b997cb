"""A state: what one program leaves to the next when the bus is upgraded.

docs/understanding/state.md has the format.
"""

import errno
import os
import struct
import zlib
from enum import IntEnum
from types import TracebackType
from typing import Any, Final

from ._relay import ffi, lib

_CRITICAL: Final = 1
_HEAD: Final = struct.Struct("<HHHHQ")
_SUM: Final = struct.Struct("<I")


class Section(IntEnum):
    """The control plane's sections: those of enum relay_state_section that it writes or reads."""

    PEERS = lib.RELAY_STATE_PEERS
    NAMES = lib.RELAY_STATE_NAMES
    HANDED_UP = lib.RELAY_STATE_HANDED_UP
    CONTROL = lib.RELAY_STATE_CONTROL
    CRASHES = lib.RELAY_STATE_CRASHES


class StateError(ValueError):
    """The bytes are no state, or not one that this version can go on with."""


def section(kind: int, content: bytes, *, version: int = 1, critical: bool = True) -> bytes:
    """Returns a section for `Relay.dump`. A reader that doesn't know a critical one refuses the state."""
    head = _HEAD.pack(kind, version, _CRITICAL if critical else 0, 0, len(content))
    return head + _SUM.pack(zlib.crc32(head, zlib.crc32(content))) + content


class State:
    """The state in a sealed memfd, mapped until `close`; a context manager.

    Raises StateError if the memfd is not sealed against every change, or not named `omnibus...`: then it
    can't be trusted.
    """

    def __init__(self, fd: int) -> None:
        found = ffi.new("uint8_t **")
        size = ffi.new("size_t *")
        result = lib.relay_state_map(fd, ffi.cast("uint8_t const **", found), size)
        if result < 0:
            raise StateError(f"descriptor {fd} has no state: {os.strerror(-result)}")
        self.native: Any = found[0]
        self.size: int = size[0]

    def section(self, kind: int) -> bytes | None:
        """Returns the content of a section; None: there is none. Raises StateError for a damaged state."""
        content = ffi.new("uint8_t **")
        size = ffi.new("size_t *")
        where = ffi.cast("uint8_t const **", content)
        result = lib.relay_state_section(self.native, self.size, kind, where, size)
        if result == -errno.ENOENT:
            return None
        if result < 0:
            raise StateError("the state is damaged")
        return bytes(ffi.buffer(content[0], size[0]))

    def descriptors(self) -> list[int]:
        """Returns the numbers of all descriptors that the data plane's sections and HANDED_UP mention."""
        n = lib.relay_state_descriptors(self.native, self.size, ffi.NULL, 0)
        if n < 0:
            raise StateError("the state is damaged")
        fds = ffi.new("int[]", n)
        lib.relay_state_descriptors(self.native, self.size, fds, n)
        return ffi.unpack(fds, n) if n else []

    def close(self) -> None:
        """Unmaps it; the memfd stays open."""
        if self.native is not None:
            lib.relay_state_unmap(self.native, self.size)
            self.native = None

    def __enter__(self) -> "State":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
