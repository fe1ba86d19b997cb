#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""model.py [SCHEDULES [SEED]]: random schedules on the real module, checked against a model of the contract.

A schedule is a few hundred steps of clients that send and read, a daemon that relays what asks, holds
and releases, clients that come and go, rules, names and classes that change. The model knows for every
message whether it has to go directly, or to the daemon and why; what every queue holds, in order; and at
the end that all that was sent arrived once, in its sender's order.
"""

import os
import random
import socket
import struct
import sys
from collections import deque
from pathlib import Path

from model_group import (
    ANY,
    CALL,
    EGRESS,
    HEADER,
    INGRESS,
    KEY,
    KIND,
    MULTICAST,
    NAMED,
    NO,
    REPLY,
    REST,
    SHARED,
    TOPIC_SHIFT,
    UNICAST,
    YES,
    Client,
    Group,
    instruction,
    own_verdict,
)

CLIENTS = 6
CLASSES, TOPICS = 3, 4
NAMES = [b"abcd", b"efgh", b"ijkl", b"mnop"]
NETLINK_USERSOCK = 2
NAMES_ARE_ON = Path("/sys/module/unix_multicast/parameters/names")


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
        self.news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_USERSOCK)
        self.news.bind((0, 0))
        self.news.setblocking(False)
        self.group.watch(self.news)
        self.alarmed = self.unread = False
        self.calls: set[tuple[int, int, int]] = set()
        self.seen: dict[tuple[int, int, int], int] = {}
        self.born = 0
        self.direct = self.relayed = self.found = 0
        self.named = NAMES_ARE_ON.exists() and NAMES_ARE_ON.read_text().startswith("Y")
        self.names: dict[bytes, int] = {}
        self.accepts: list[list[set[int]]] = [[set() for _ in range(TOPICS)] for _ in range(CLASSES)]
        if self.named:
            self.group.filter(SHARED, ANY, own_verdict())
        for index in range(CLIENTS):
            self.come(index)
            if self.named:
                self.name_moves(self.clients[index])
                self.accepts_otherwise(index % CLASSES)

    # ---- clients come and go ----

    def come(self, index: int) -> None:
        client = Client(self.listener, self.kind, index)
        self.born += 1
        client.life = self.born
        self.clients[index] = client
        client.quiet = self.random.random() < 0.5
        self.group.add(self.listener, client.daemon, index, client.quiet)
        self.group.filter(EGRESS, index, own_verdict())
        if not client.quiet:
            self.subscribe(client)
        if self.named:
            self.class_changes(client)

    def subscribe(self, client: Client) -> None:
        client.quiet = False
        yes, no = instruction(0x06, YES), instruction(0x06, NO)
        match = instruction(0x20, 8)
        if client.parity is None:
            match += instruction(0x15, client.topic or 99, 0, 1)
        else:
            match += instruction(0x15, client.topic or 99, 0, 3) + instruction(0x30, HEADER + 3)
            match += instruction(0x45, 1, 0 if client.parity else 1, 1 if client.parity else 0)
        self.group.filter(INGRESS, client.index, match + yes + no)

    def changes_its_mind(self, client: Client) -> None:
        client.topic = self.random.randrange(3)
        client.parity = self.random.choice((None, None, 0, 1))
        self.subscribe(client)

    def name_moves(self, client: Client) -> None:
        name = self.random.choice(NAMES)
        if self.random.random() < 0.2:
            self.names.pop(name, None)
            self.group.name(name, ANY)
        else:
            self.names[name] = client.index
            self.group.name(name, client.index)

    def class_changes(self, client: Client) -> None:
        client.class_ = self.random.choice((None, 0, 1, 2, 0, 1, 2))
        self.group.class_(client.index, ANY if client.class_ is None else client.class_)

    def accepts_otherwise(self, number: int) -> None:
        self.accepts[number] = [
            {one for one in range(CLASSES) if self.random.random() < 0.7} for _ in range(TOPICS)
        ]
        self.group.accept(number, self.accepts[number])

    def policy_reloads(self) -> None:
        """Takes back all filters and classes, and sets the filters anew."""
        assert self.group.revoke() == (not self.unread)
        self.alarmed = self.unread
        for classes in self.accepts:
            classes[:] = [set() for _ in range(TOPICS)]
        self.group.filter(REST, ANY, instruction(0x06, NO))
        for client in self.clients.values():
            client.class_ = None
            self.group.filter(EGRESS, client.index, own_verdict())
            if not client.quiet:
                self.subscribe(client)
            if self.named and self.random.random() < 0.8:
                self.class_changes(client)
        for number in range(CLASSES if self.named else 0):
            self.accepts_otherwise(number)

    def announced(self) -> None:
        """The gate closes, until the owner has read this and taken back all."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_USERSOCK) as sender:
            sender.sendto(struct.pack("=IHHII", 16, 16, 0, 0, 0), self.news.getsockname())
        self.alarmed = self.unread = True
        assert self.group.alarmed()

    def announcements_are_read(self) -> None:
        while self.unread:
            try:
                self.news.recv(100)
            except BlockingIOError:
                self.unread = False
        assert self.group.alarmed() == self.alarmed

    def policy_changes(self) -> None:
        if not self.alarmed:
            self.announced()
        elif self.unread and self.random.random() < 0.7:
            self.announcements_are_read()
        else:
            self.policy_reloads()

    def something_named_changes(self, client: Client) -> None:
        kind = self.random.randrange(20) if self.named else 19
        if kind < 8:
            self.name_moves(client)
        elif kind < 14:
            self.class_changes(client)
        elif kind < 19:
            self.accepts_otherwise(self.random.randrange(CLASSES))
        else:
            self.policy_reloads()

    def go(self, index: int) -> None:
        """The daemon removes it, reads what is left, and forgets it."""
        client = self.clients.pop(index)
        if self.random.random() < 0.5:
            client.socket.close()
        self.group.remove(index)
        self.names = {name: owner for name, owner in self.names.items() if owner != index}
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
        return not client.quiet and client.topic == topic and client.parity in (None, sequence % 2)

    def resolve(self, sender: Client, verdict: int, name: bytes) -> int:
        """The verdict, with the receiver instead of the name; 0: it asks."""
        if verdict & KIND != NAMED:
            return verdict
        owner = self.clients.get(self.names.get(name, ANY))
        if sender.class_ is None or owner is None or owner.class_ is None:
            return 0
        if sender.class_ not in self.accepts[owner.class_][verdict >> TOPIC_SHIFT & 3]:
            return 0
        self.found += 1
        return UNICAST | verdict & (CALL | REPLY | 0x3FF << 14) | owner.index

    def receivers(self, sender: Client, verdict: int, topic: int) -> list[Client] | None:
        """The members that get it directly; None: it has to ask."""
        if sender.dirty or self.gate_closed or self.alarmed:
            return None
        if verdict & KIND == MULTICAST:
            found = [one for one in self.clients.values() if self.wants(one, topic, sender.sequence)]
        elif verdict & KIND == UNICAST:
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
        name = self.random.choice(NAMES)
        body = struct.pack("<II", key, len(name)) + name
        body += struct.pack("!IH", sender.sequence, sender.life)
        body += bytes(self.random.randrange(200))
        message = struct.pack("!III", verdict, 12 + len(body), topic) + body
        assert sender.socket.send(message) == len(message)
        verdict = self.resolve(sender, verdict, name)
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
        sequence, life = struct.unpack_from("!IH", message, HEADER)
        # In its sender's order, and never twice.
        flow = (client.life, life, 0)
        assert sequence > self.seen.get(flow, 0), (sequence, self.seen.get(flow))
        self.seen[flow] = sequence

    # ---- the daemon ----

    def dispatch(self, sender: Client, message: bytes) -> None:
        verdict, _, topic = struct.unpack_from("!III", message)
        sequence = struct.unpack_from("!I", message, HEADER)[0]
        key = struct.unpack_from("<I", message, 12)[0]
        if verdict & KIND == NAMED:
            owner = self.names.get(message[20:24])
            verdict = 0 if owner is None else UNICAST | verdict & (CALL | REPLY) | owner
        to = verdict & 0x3FFF
        if verdict & KIND == UNICAST and verdict & REPLY:
            known = (to, sender.index, key) in self.calls
            assert self.group.take(to, sender.index, key) == known
            self.calls.discard((to, sender.index, key))
        self.relayed += 1
        for client in self.clients.values():
            if (verdict & KIND == MULTICAST and self.wants(client, topic, sequence)) or (
                verdict & KIND == UNICAST and client.index == to
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

    def flush_and_release(self, client: Client) -> None:
        """Writes the only message that is kept for it, and releases it with the same call."""
        message = client.kept.popleft()
        written, released = self.group.write_and_release(client.index, message, client.index)
        assert (written, released) == (len(message), True)
        client.queue.append(message)
        client.held = client.dirty = False

    def daemon_catches_up(self, client: Client) -> None:
        """Does what a daemon does that keeps up."""
        while client.asked:
            self.daemon_reads(client)
        if len(client.kept) == 1 and self.random.random() < 0.7:
            self.flush_and_release(client)
            return
        self.flush(client, True)
        self.daemon_releases(client)

    # ---- schedules ----

    def step(self) -> None:
        client = self.clients[self.random.randrange(CLIENTS)]
        other = self.random.randrange(CLIENTS + 1)  # one too many: no client has that index
        kind = self.random.randrange(100)
        if kind < 20:
            self.send(client, UNICAST | other, 0, self.random.randrange(4))
        elif kind < 21:
            self.send(client, 0, 0, 0)
        elif kind < 34:
            self.send(client, MULTICAST, self.random.randrange(1, 3), self.random.randrange(4))
        elif kind < 36:
            self.changes_its_mind(client)
        elif kind < 38:
            self.something_named_changes(client)
        elif kind < 41:
            flags = self.random.choice((0, 0, 0, 0, CALL | KEY, REPLY | KEY))
            self.send(client, NAMED | flags | self.random.randrange(TOPICS) << TOPIC_SHIFT | 4, 0, 1)
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
        elif kind < 98 and not self.alarmed:
            self.go(client.index)
        elif kind < 99 or self.alarmed:
            self.policy_changes()
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
        self.news.close()


def main() -> int:
    schedules = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    direct = relayed = found = 0
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
            found += world.found
        print(f"ok {name}/model")
    print(f"# {schedules} schedules each: {direct} messages direct, {found} by name, {relayed} by the daemon")
    return 0


if __name__ == "__main__":
    sys.exit(main())
