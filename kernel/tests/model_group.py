# SPDX-License-Identifier: GPL-2.0
"""The ioctls of a group, unix_multicast(7), and a member, for model.py."""

import ctypes
import fcntl
import os
import random
import select
import socket
import struct
from collections import deque

DEVICE = "/dev/unix_multicast"
ANY = 0xFFFFFFFF
UNICAST, MULTICAST, NO, YES, NAMED = 0x10000000, 0x20000000, 0x30000000, 0x40000000, 0x50000000
KIND, TOPIC_SHIFT = 0xF0000000, 12
CALL, REPLY, KEY = 0x02000000, 0x04000000, (12 // 4) << 14
EGRESS, INGRESS, REST, SHARED = 0, 1, 2, 4
HOLD = 1
# Verdict, length and topic; key and the name's length; the name. The sequence number is behind it.
HEADER = 24


def ioctl_number(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | 0xBB << 8 | number


def instruction(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jt, jf, k)


RETURN_A = instruction(0x16, 0)


def own_verdict() -> bytes:
    """The message's own verdict, if its length is right."""
    length, verdict = instruction(0x80, 0), instruction(0x20, 0)
    check = instruction(0x07, 0) + instruction(0x20, 4) + instruction(0x1D, 0, 1, 0) + instruction(0x06, 0)
    return length + check + verdict + RETURN_A


class Group:
    """The ioctls of a group."""

    def __init__(self) -> None:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        create = bytearray(struct.pack("=IIIIIiQ", 1, 0, 0, 16, 1000, -1, 0))
        self.fd = fcntl.ioctl(device, ioctl_number(1, 1, len(create)), create)
        os.close(device)
        self.filter(REST, ANY, instruction(0x06, NO))
        # Big-endian words, and the length is the whole message's.
        self._call(1, 0x1F, 1 | 4, HEADER, 1, ANY, 4, 12, 0, 0, 0, 0, form="IIIIIIIBBH")

    def _call(self, direction: int, number: int, *values: int, form: str) -> tuple[int, ...]:
        argument = bytearray(struct.pack("=" + form, *values))
        fcntl.ioctl(self.fd, ioctl_number(direction, number, len(argument)), argument)
        return struct.unpack("=" + form, argument)

    def _write(self, entries: bytearray, count: int, releases: bytearray, release_count: int) -> None:
        addresses = address_of(entries), address_of(releases)
        self._call(1, 0x17, addresses[0], count, 0, addresses[1], release_count, 0, form="QIIQII")

    def filter(self, which: int, index: int, code: bytes) -> None:
        buffer = bytearray(code)
        program = bytearray(struct.pack("=QII", address_of(buffer), len(code) // 8, 0))
        self._call(1, 0x14, index, which, 1, 0, 0, 0, address_of(program), form="IIIIIiQ")

    def add(self, listener: socket.socket, accepted: socket.socket, index: int, quiet: bool) -> None:
        self._call(1, 0x10, listener.fileno(), accepted.fileno(), index, index, quiet, 0, form="iiIIII")

    def remove(self, index: int) -> None:
        self._call(1, 0x11, index, 0, form="II")

    def forget(self, index: int) -> None:
        self._call(1, 0x12, index, 0, form="II")

    def gate(self, closed: bool) -> None:
        self._call(1, 0x18, closed, 0, form="II")

    def revoke(self) -> bool:
        """Takes back all; False: what is watched is still readable, so that the gate stays closed."""
        return fcntl.ioctl(self.fd, ioctl_number(0, 0x1E, 0)) == 0

    def watch(self, watched: socket.socket) -> None:
        self._call(1, 0x23, watched.fileno(), 0, form="iI")

    def alarmed(self) -> bool:
        poll = select.poll()
        poll.register(self.fd, select.POLLPRI)
        return bool(poll.poll(0))

    def name(self, name: bytes, index: int) -> None:
        buffer = bytearray(name)
        self._call(1, 0x20, index, len(name), address_of(buffer), 0, 0, form="IIQII")

    def class_(self, index: int, number: int) -> None:
        self._call(1, 0x21, index, number, form="II")

    def accept(self, number: int, by_topic: list[set[int]]) -> None:
        masks = [sum(1 << one for one in classes) for classes in by_topic]
        self._call(1, 0x22, number, 0, *masks, form="IIQQQQ")

    def release(self, index: int) -> bool:
        entry = bytearray(struct.pack("=Ii", index, 0))
        self._write(bytearray(), 0, entry, 1)
        return struct.unpack("=Ii", entry)[1] >= 0

    def write(self, index: int, data: bytes, hold: bool = False) -> int:
        return self.write_and_release(index, data, None, hold)[0]

    def write_and_release(
        self, index: int, data: bytes, released: int | None, hold: bool = False
    ) -> tuple[int, bool]:
        """Both with one call; a member to be released is None or an index."""
        buffer = bytearray(data)
        vector = bytearray(struct.pack("=QQ", address_of(buffer), len(data)))
        entry = bytearray(
            struct.pack("=IIQIIQq", index, HOLD * hold, address_of(vector), 1 if data else 0, 0, 0, 0)
        )
        release = bytearray(struct.pack("=Ii", released or 0, 0))
        self._write(entry, 1, release, 0 if released is None else 1)
        return struct.unpack("=IIQIIQq", entry)[6], struct.unpack("=Ii", release)[1] >= 0

    def pending(self) -> int:
        return self._call(3, 0x1A, 0, 0, ANY, ANY, 0, 0, 0, form="QIIIIII")[1]

    def take(self, caller: int, callee: int, key: int) -> bool:
        try:
            self._call(3, 0x19, caller, callee, key, 0, form="IIII")
        except OSError:
            return False
        return True


def address_of(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if buffer else 0


class Client:
    """A member, and the model's view of it."""

    def __init__(self, listener: socket.socket, kind: int, index: int) -> None:
        self.index = index
        self.socket = socket.socket(socket.AF_UNIX, kind)
        self.socket.connect(listener.getsockname())
        self.daemon, _ = listener.accept()
        self.socket.setblocking(False)
        self.daemon.setblocking(False)
        self.dirty = True
        self.held = False
        self.quiet = False  # it has no ingress filter yet, and wants nothing
        self.topic = random.randrange(3)  # 0: none wanted
        self.parity: int | None = None  # of the sequence number, which is behind the header; None: either
        self.class_: int | None = None
        self.sequence = 0
        self.queue: deque[bytes] = deque()  # at the client's end, unread
        self.asked: deque[bytes] = deque()  # at the daemon's end, unread
        self.kept: deque[bytes] = deque()  # the daemon has it and could not, or would not, write it
