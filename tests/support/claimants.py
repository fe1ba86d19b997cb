"""The queue of a name as specified, and clients that must get just the signals that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field

from support.daemon import Daemon
from support.message import Type
from support.raw import BUS, BUS_PATH

ALLOW_REPLACEMENT, REPLACE_EXISTING, DO_NOT_QUEUE = 1, 2, 4
PRIMARY_OWNER, IN_QUEUE, EXISTS, ALREADY_OWNER = 1, 2, 3, 4
RELEASED, NON_EXISTENT, NOT_OWNER = 1, 2, 3


@dataclass
class Queue:
    """The queue of a name as specified: the claimants with their flags, the owner first."""

    entries: list[tuple[str, int]] = field(default_factory=list)

    @property
    def owner(self) -> str:
        return self.entries[0][0] if self.entries else ""

    def names(self) -> list[str]:
        return [label for label, _ in self.entries]

    def request(self, label: str, flags: int) -> int:
        entry = (label, flags)
        if not self.entries:
            self.entries = [entry]
            return PRIMARY_OWNER
        if self.owner == label:
            self.entries[0] = entry
            return ALREADY_OWNER
        owner_flags = self.entries[0][1]
        if flags & REPLACE_EXISTING and owner_flags & ALLOW_REPLACEMENT:
            rest = [one for one in self.entries if one[0] != label]
            self.entries = [entry, *(rest[1:] if owner_flags & DO_NOT_QUEUE else rest)]
            return PRIMARY_OWNER
        if flags & DO_NOT_QUEUE:
            self.entries = [one for one in self.entries if one[0] != label]
            return EXISTS
        if flags & REPLACE_EXISTING:
            rest = [one for one in self.entries if one[0] != label]
            self.entries = [rest[0], entry, *rest[1:]]
        elif label in self.names():
            self.entries[self.names().index(label)] = entry
        else:
            self.entries.append(entry)
        return IN_QUEUE

    def release(self, label: str) -> int:
        if not self.entries:
            return NON_EXISTENT
        if label not in self.names():
            return NOT_OWNER
        self.entries = [one for one in self.entries if one[0] != label]
        return RELEASED


class Claimants:
    """Three claimants of one name. After each step all must have received what follows from the model.

    In this order: NameLost to the old owner, NameOwnerChanged to all, NameAcquired to the new owner, the
    reply to the caller.
    """

    def __init__(self, bus: Daemon, name: str) -> None:
        self.name = name
        self.queue = Queue()
        self.clients = {label: bus.connect() for label in "ABC"}
        self.unique = {label: client.unique for label, client in self.clients.items()} | {"": ""}
        for client in self.clients.values():
            client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{name}'")

    def request(self, label: str, flags: int) -> int:
        before = self.queue.owner
        expected = self.queue.request(label, flags)
        serial = self.call(label, "RequestName", "su", self.name, flags)
        self.check(before, label, serial, expected)
        return expected

    def release(self, label: str) -> int:
        before = self.queue.owner
        expected = self.queue.release(label)
        serial = self.call(label, "ReleaseName", "s", self.name)
        self.check(before, label, serial, expected)
        return expected

    def leave(self, label: str) -> None:
        before = self.queue.owner
        self.queue.release(label)
        self.clients.pop(label).close()
        if before == label:
            self.check(before, "", 0, 0)

    def call(self, label: str, member: str, signature: str, *body: object) -> int:
        return self.clients[label].start_call(BUS, member, signature, *body, interface=BUS, path=BUS_PATH)

    def check(self, before: str, caller: str, serial: int, result: int) -> None:
        after = self.queue.owner
        for label in sorted(self.clients, key=lambda one: one != caller):
            client = self.clients[label]
            if before != after:
                if label == before:
                    client.expect(member="NameLost", body=(self.name,), destination=client.unique, sender=BUS)
                client.expect(
                    member="NameOwnerChanged", body=(self.name, self.unique[before], self.unique[after])
                )
                if label == after:
                    client.expect(
                        member="NameAcquired", body=(self.name,), destination=client.unique, sender=BUS
                    )
            if label == caller:
                client.expect(type=Type.METHOD_RETURN, reply_serial=serial, body=(result,))
            client.driver("GetId")
            assert client.inbox == []
        self.check_queue()

    def check_queue(self) -> None:
        client = next(iter(self.clients.values()))
        if self.queue.entries:
            expected = [self.unique[label] for label in self.queue.names()]
            assert client.driver("ListQueuedOwners", "s", self.name) == expected
        else:
            assert client.driver("NameHasOwner", "s", self.name) is False
