#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""model.py [SCHEDULES [SEED]]: random schedules on the real module, checked against a model of the contract.

A schedule is a few hundred steps of clients that send and read, a daemon that relays what asks, holds
and releases, and clients that come and go. The model knows for every message whether it has to go
directly, or to the daemon and why; what every queue holds, in order; and at the end that all that was
sent arrived once, in its sender's order.
"""

import ctypes
import fcntl
import os
import random
import socket
import struct
import sys
from collections import deque

DEVICE = "/dev/unix_multicast"
ANY = 0xFFFFFFFF
UNICAST, MULTICAST, NO, YES = 0x10000000, 0x20000000, 0x30000000, 0x40000000
CALL, REPLY, KEY = 0x02000000, 0x04000000, (12 // 4) << 14
EGRESS, INGRESS, REST = 0, 1, 2
HOLD = 1
CLIENTS = 6
HEADER = struct.Struct("!IIIII")


def ioctl_number(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | 0xBB << 8 | number


def instruction(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jt, jf, k)


RETURN_A = instruction(0x16, 0)


class Group:
    """The ioctls of a group."""

    def __init__(self) -> None:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        create = bytearray(struct.pack("=IIIIIiQ", 1, 0, 0, 16, 1000, -1, 0))
        self.fd = fcntl.ioctl(device, ioctl_number(1, 1, len(create)), create)
        os.close(device)
        self.filter(REST, ANY, instruction(0x06, NO))
        # Big-endian words, and the length is the whole message's; verdict, length and topic are the header.
        self._call(1, 0x1F, 1 | 4, 16, 1, ANY, 4, 12, 0, 0, 0, 0, form="IIIIIIIBBH")

    def _call(self, direction: int, number: int, *values: int, form: str) -> tuple[int, ...]:
        argument = bytearray(struct.pack("=" + form, *values))
        fcntl.ioctl(self.fd, ioctl_number(direction, number, len(argument)), argument)
        return struct.unpack("=" + form, argument)

    def _entries(self, number: int, entry: bytearray, count: int = 1) -> None:
        address = address_of(entry)
        self._call(3, number, address, count, 0, form="QII")

    def filter(self, which: int, index: int, code: bytes) -> None:
        buffer = bytearray(code)
        program = bytearray(struct.pack("=QII", address_of(buffer), len(code) // 8, 0))
        self._call(1, 0x14, index, which, 1, 0, 0, 0, address_of(program), form="IIIIIiQ")

    def add(self, listener: socket.socket, accepted: socket.socket, index: int) -> None:
        self._call(1, 0x10, listener.fileno(), accepted.fileno(), index, index, 0, 0, form="iiIIII")

    def remove(self, index: int) -> None:
        self._call(1, 0x11, index, 0, form="II")

    def forget(self, index: int) -> None:
        self._call(1, 0x12, index, 0, form="II")

    def gate(self, closed: bool) -> None:
        self._call(1, 0x18, closed, 0, form="II")

    def release(self, index: int) -> bool:
        entry = bytearray(struct.pack("=Ii", index, 0))
        self._entries(0x16, entry)
        return struct.unpack("=Ii", entry)[1] == 0

    def write(self, index: int, data: bytes, hold: bool = False) -> int:
        buffer = bytearray(data)
        vector = bytearray(struct.pack("=QQ", address_of(buffer), len(data)))
        entry = bytearray(
            struct.pack("=IIQIIQq", index, HOLD * hold, address_of(vector), 1 if data else 0, 0, 0, 0)
        )
        self._entries(0x17, entry)
        return struct.unpack("=IIQIIQq", entry)[6]

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

    def __init__(self, world: "World", index: int) -> None:
        self.index = index
        self.socket = socket.socket(socket.AF_UNIX, world.kind)
        self.socket.connect(world.listener.getsockname())
        self.daemon, _ = world.listener.accept()
        self.socket.setblocking(False)
        self.daemon.setblocking(False)
        self.dirty = True
        self.held = False
        self.topic = random.randrange(3)  # 0: none wanted
        self.parity: int | None = None  # of the sequence number, which is behind the header; None: either
        self.sequence = 0
        self.queue: deque[bytes] = deque()  # at the client's end, unread
        self.asked: deque[bytes] = deque()  # at the daemon's end, unread
        self.kept: deque[bytes] = deque()  # the daemon has it and could not, or would not, write it


class World:
    """The module and its model."""

    def __init__(self, kind: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.kind = kind
        self.group = Group()
        self.listener = socket.socket(socket.AF_UNIX, kind)
        self.listener.bind("")
        self.listener.listen(CLIENTS)
        self.clients: dict[int, Client] = {}
        self.dead: set[int] = set()
        self.gate_closed = False
        self.calls: set[tuple[int, int, int]] = set()
        self.seen: dict[tuple[int, int, int], int] = {}
        self.born = 0
        self.direct = self.relayed = 0
        for index in range(CLIENTS):
            self.come(index)

    # ---- clients come and go ----

    def come(self, index: int) -> None:
        client = Client(self, index)
        self.born += 1
        client.life = self.born
        self.clients[index] = client
        self.group.add(self.listener, client.daemon, index)
        length, verdict = instruction(0x80, 0), instruction(0x20, 0)
        check = (
            instruction(0x07, 0) + instruction(0x20, 4) + instruction(0x1D, 0, 1, 0) + instruction(0x06, 0)
        )
        self.group.filter(EGRESS, index, length + check + verdict + RETURN_A)
        self.subscribe(client)

    def subscribe(self, client: Client) -> None:
        yes, no = instruction(0x06, YES), instruction(0x06, NO)
        match = instruction(0x20, 8)
        if client.parity is None:
            match += instruction(0x15, client.topic or 99, 0, 1)
        else:
            match += instruction(0x15, client.topic or 99, 0, 3) + instruction(0x30, 19)
            match += instruction(0x45, 1, 0 if client.parity else 1, 1 if client.parity else 0)
        self.group.filter(INGRESS, client.index, match + yes + no)

    def changes_its_mind(self, client: Client) -> None:
        client.topic = self.random.randrange(3)
        client.parity = self.random.choice((None, None, 0, 1))
        self.subscribe(client)

    def go(self, index: int) -> None:
        """The daemon removes it, reads what is left, and forgets it."""
        client = self.clients.pop(index)
        if self.random.random() < 0.5:
            client.socket.close()
        self.group.remove(index)
        while client.asked:
            self.dispatch(client, self.read(client.daemon, client.asked))
        client.socket.close()
        client.daemon.close()
        self.calls = {call for call in self.calls if call[0] != index}
        assert self.group.pending() == len(self.calls)
        self.group.forget(index)
        self.calls = {call for call in self.calls if call[1] != index}
        assert self.group.pending() == len(self.calls)
        self.come(index)

    # ---- what a send has to do ----

    @staticmethod
    def wants(client: Client, topic: int, sequence: int) -> bool:
        return client.topic == topic and client.parity in (None, sequence % 2)

    def receivers(self, sender: Client, verdict: int, topic: int) -> list[Client] | None:
        """The members that get it directly; None: it has to ask."""
        if sender.dirty or self.gate_closed:
            return None
        if verdict & 0xF0000000 == MULTICAST:
            found = [one for one in self.clients.values() if self.wants(one, topic, sender.sequence)]
        elif verdict & 0xF0000000 == UNICAST:
            found = [client for client in self.clients.values() if client.index == verdict & 0x3FFF]
            if not found:
                return None
        else:
            return None
        return None if any(client.held for client in found) else found

    def call_allows(self, sender: Client, verdict: int, key: int) -> bool:
        to = verdict & 0x3FFF
        if verdict & CALL:
            return key != 0 and (sender.index, to, key) not in self.calls
        if verdict & REPLY:
            return (to, sender.index, key) in self.calls
        return True

    def send(self, sender: Client, verdict: int, topic: int, key: int) -> None:
        sender.sequence += 1
        body = struct.pack("<I", key) + struct.pack("!IH", sender.sequence, sender.life)
        body += bytes(self.random.randrange(200))
        message = struct.pack("!III", verdict, 12 + len(body), topic) + body
        assert sender.socket.send(message) == len(message)
        found = self.receivers(sender, verdict, topic)
        if found is not None and not self.call_allows(sender, verdict, key):
            found = None
        if found is None:
            sender.dirty = True
            sender.asked.append(message)
            return
        self.direct += 1
        for client in found:
            client.queue.append(message)
        if verdict & CALL:
            self.calls.add((sender.index, verdict & 0x3FFF, key))
        if verdict & REPLY:
            self.calls.discard((verdict & 0x3FFF, sender.index, key))

    # ---- reading ----

    def read(self, end: socket.socket, queue: deque[bytes]) -> bytes:
        """Checks that exactly what the model has queued there arrives, and no more."""
        expected = queue.popleft()
        size = len(expected) if self.kind == socket.SOCK_STREAM else 4096
        try:
            got = end.recv(size)
        except ConnectionResetError:
            # The other end was closed with messages unread. Packets tell that first, and are still there.
            got = end.recv(size)
        assert got == expected, (got, expected)
        return got

    def nothing_there(self, end: socket.socket) -> None:
        try:
            end.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        raise AssertionError("an unexpected message arrived")

    def client_reads(self, client: Client) -> None:
        if not client.queue:
            self.nothing_there(client.socket)
            return
        message = self.read(client.socket, client.queue)
        sequence, life = struct.unpack_from("!IH", message, 16)
        # In its sender's order, and never twice.
        flow = (client.life, life, 0)
        assert sequence > self.seen.get(flow, 0), (sequence, self.seen.get(flow))
        self.seen[flow] = sequence

    # ---- the daemon ----

    def dispatch(self, sender: Client, message: bytes) -> None:
        verdict, _, topic = struct.unpack_from("!III", message)
        sequence = struct.unpack_from("!I", message, 16)[0]
        key = struct.unpack_from("<I", message, 12)[0]
        to = verdict & 0x3FFF
        if verdict & 0xF0000000 == UNICAST and verdict & REPLY:
            known = (to, sender.index, key) in self.calls
            assert self.group.take(to, sender.index, key) == known
            self.calls.discard((to, sender.index, key))
        self.relayed += 1
        for client in self.clients.values():
            if (verdict & 0xF0000000 == MULTICAST and self.wants(client, topic, sequence)) or (
                verdict & 0xF0000000 == UNICAST and client.index == to
            ):
                client.kept.append(message)
                self.flush(client, self.random.random() < 0.7)

    def flush(self, client: Client, write: bool) -> None:
        if not write:
            # Not now: it is held, as of before the message was taken.
            assert self.group.write(client.index, b"", hold=True) == 0
            client.held = True
            return
        while client.kept:
            message = client.kept.popleft()
            last = not client.kept
            assert self.group.write(client.index, message, hold=not last) == len(message)
            client.queue.append(message)
        client.held = False

    def daemon_reads(self, client: Client) -> None:
        if client.asked:
            self.dispatch(client, self.read(client.daemon, client.asked))
        else:
            self.nothing_there(client.daemon)

    def daemon_releases(self, client: Client) -> None:
        released = self.group.release(client.index)
        assert released == (not client.asked)
        if released:
            client.dirty = False

    def daemon_catches_up(self, client: Client) -> None:
        """Does what a daemon does that keeps up."""
        while client.asked:
            self.daemon_reads(client)
        self.flush(client, True)
        self.daemon_releases(client)

    # ---- schedules ----

    def step(self) -> None:
        client = self.clients[self.random.randrange(CLIENTS)]
        other = self.random.randrange(CLIENTS + 1)  # one too many: no client has that index
        kind = self.random.randrange(100)
        if kind < 20:
            self.send(client, UNICAST | other, 0, self.random.randrange(4))
        elif kind < 35:
            self.send(client, MULTICAST, self.random.randrange(1, 3), self.random.randrange(4))
        elif kind < 37:
            self.changes_its_mind(client)
        elif kind < 38:
            self.send(client, 0, 0, 0)
        elif kind < 45:
            self.send(client, UNICAST | CALL | KEY | other, 0, self.random.randrange(4))
        elif kind < 52:
            self.send(client, UNICAST | REPLY | KEY | other, 0, self.random.randrange(4))
        elif kind < 70:
            self.client_reads(client)
        elif kind < 75:
            self.daemon_reads(client)
        elif kind < 80:
            self.daemon_releases(client)
        elif kind < 94:
            for each in self.clients.values() if kind < 88 else [client]:
                self.daemon_catches_up(each)
        elif kind < 96:
            self.flush(client, True)
        elif kind < 97 or self.gate_closed:
            self.gate_closed = not self.gate_closed
            self.group.gate(self.gate_closed)
        elif kind < 98:
            self.go(client.index)
        assert self.group.pending() == len(self.calls)

    def finish(self) -> None:
        """Everything that was sent and is still on its way arrives."""
        for client in list(self.clients.values()):
            while client.asked:
                self.daemon_reads(client)
            self.daemon_releases(client)
        for client in self.clients.values():
            self.flush(client, True)
            while client.queue:
                self.client_reads(client)
            self.nothing_there(client.socket)
            self.nothing_there(client.daemon)
            client.socket.close()
            client.daemon.close()
        os.close(self.group.fd)
        self.listener.close()


def main() -> int:
    schedules = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    direct = relayed = 0
    for kind, name in ((socket.SOCK_STREAM, "stream"), (socket.SOCK_SEQPACKET, "seqpacket")):
        for number in range(seed, seed + schedules):
            world = World(kind, number)
            try:
                for _ in range(300):
                    world.step()
                world.finish()
            except AssertionError as error:
                line = error.__traceback__
                while line.tb_next:
                    line = line.tb_next
                print(f"not ok {name}/model: seed {number}, line {line.tb_lineno}: {error}")
                return 1
            direct += world.direct
            relayed += world.relayed
        print(f"ok {name}/model")
    print(f"# {schedules} schedules each: {direct} messages direct, {relayed} by the daemon")
    return 0


if __name__ == "__main__":
    sys.exit(main())
