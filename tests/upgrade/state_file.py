"""A recorded state as a file: its sections, and what has to be changed before another process can resume it.

A state names descriptors by number, device and inode (``docs/understanding/state.md``). A recorded one is
resumed with other sockets at the same numbers.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from typing import Any

MAGIC = b"OMNISTAT"
HEAD = struct.Struct("<HHHHQ")
DESCRIPTOR = struct.Struct("<IQQ")
DESCRIPTORS, PEERS, HANDSHAKES, CONTROL = 5, 8, 17, 20  # enum relay_state_section


class StateFile:
    """The sections of a state, by type."""

    def __init__(self, data: bytes) -> None:
        assert data[:8] == MAGIC
        self.format, n = struct.unpack_from("<II", data, 8)
        self.heads: dict[int, tuple[int, int]] = {}
        self.contents: dict[int, bytes] = {}
        at = 16
        for _ in range(n):
            kind, version, flags, _, size = HEAD.unpack_from(data, at)
            at += HEAD.size + 4
            self.heads[kind] = version, flags
            self.contents[kind] = data[at : at + size]
            at += size
        assert at == len(data)

    def encode(self) -> bytes:
        """Return the whole, its sums computed anew."""
        out = [MAGIC, struct.pack("<II", self.format, len(self.heads))]
        for kind, (version, flags) in self.heads.items():
            content = self.contents[kind]
            head = HEAD.pack(kind, version, flags, 0, len(content))
            out += [head, struct.pack("<I", zlib.crc32(head, zlib.crc32(content))), content]
        return b"".join(out)

    @property
    def control(self) -> dict[str, Any]:
        """What the control plane has written, which ``set_control`` replaces."""
        found: dict[str, Any] = json.loads(self.contents[CONTROL])
        return found

    def set_control(self, **values: Any) -> None:
        """Replace some of what the control plane has written."""
        self.contents[CONTROL] = json.dumps(self.control | values, separators=(",", ":")).encode()

    def numbers(self) -> list[int]:
        """Return the number of each descriptor of the data plane."""
        return [number for number, _, _ in DESCRIPTOR.iter_unpack(self.contents[DESCRIPTORS][4:])]

    def doors(self) -> list[int]:
        """Return the numbers under which both planes have the listening socket."""
        ((socket,),) = (one["sockets"] for one in self.control["listeners"])
        rows = DESCRIPTOR.iter_unpack(self.contents[DESCRIPTORS][4:])
        return [socket["fd"], *(number for number, _, inode in rows if inode == socket["inode"])]

    def identify(self, fds: dict[int, int]) -> None:
        """Let the state expect these descriptors of this process at its numbers."""
        found = {number: os.fstat(fd) for number, fd in fds.items()}
        rows = [DESCRIPTOR.pack(n, found[n].st_dev, found[n].st_ino) for n in self.numbers()]
        self.contents[DESCRIPTORS] = struct.pack("<I", len(rows)) + b"".join(rows)
        listeners = self.control["listeners"]
        for listener in listeners:
            for one in listener["sockets"]:
                one |= {"device": found[one["fd"]].st_dev, "inode": found[one["fd"]].st_ino}
        self.set_control(listeners=listeners)

    def set_handshake_time(self, milliseconds: int) -> None:
        """Let the one connection that authenticates have been accepted at a time of CLOCK_MONOTONIC."""
        content = bytearray(self.contents[HANDSHAKES])
        struct.pack_into("<q", content, 12, milliseconds)
        self.contents[HANDSHAKES] = bytes(content)

    def handshake(self) -> int:
        """Return the descriptor of the connection that authenticates."""
        (place,) = struct.unpack_from("<I", self.contents[HANDSHAKES], 4)
        return self.numbers()[place]

    def peers(self) -> dict[str, int]:
        """Return the descriptor of each connection by its unique name, for PEERS as it is written today."""
        content, numbers = self.contents[PEERS], self.numbers()
        (n,) = struct.unpack_from("<I", content)
        at, found = 4, {}
        for _ in range(n):
            (number,) = struct.unpack_from("<Q", content, at)
            at += 20  # id, flags, uid, pid
            at = self._skip(content, at, 4)  # groups
            at = self._skip(content, self._skip(content, at, 1), 1)  # label, description
            (place,) = struct.unpack_from("<I", content, at)
            at += 8 + 8 + 4 + 4 + 4 + 8  # descriptor, door, times, serials, size of the next read
            at = self._skip(content, at, 1)  # received
            at = self._skip(content, at + 4, 4)  # unclaimed descriptors
            at += 9 * 8 + 2 * 4
            found[f":1.{number}"] = numbers[place]
        assert at == len(content)
        return found

    @staticmethod
    def _skip(content: bytes, at: int, each: int) -> int:
        (n,) = struct.unpack_from("<I", content, at)
        return int(at + 4 + n * each)
