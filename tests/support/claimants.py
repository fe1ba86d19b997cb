"""Who owns a name and who waits for it, as specified, and clients who must be told just that."""

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
    """The queue of a name as specified: who wants it, with which flags, the owner first."""

    entries: list[tuple[str, int]] = field(default_factory=list)

    @property
    def owner(self) -> str:
        return self.entries[0][0] if self.entries else ""

    def names(self) -> list[str]:
        return [who for who, _ in self.entries]

    def request(self, who: str, flags: int) -> int:
        entry = (who, flags)
        if not self.entries:
            self.entries = [entry]
            return PRIMARY_OWNER
        if self.owner == who:
            self.entries[0] = entry
            return ALREADY_OWNER
        owner_flags = self.entries[0][1]
        if flags & REPLACE_EXISTING and owner_flags & ALLOW_REPLACEMENT:
            rest = [one for one in self.entries if one[0] != who]
            self.entries = [entry, *(rest[1:] if owner_flags & DO_NOT_QUEUE else rest)]
            return PRIMARY_OWNER
        if flags & DO_NOT_QUEUE:
            self.entries = [one for one in self.entries if one[0] != who]
            return EXISTS
        if flags & REPLACE_EXISTING:
            rest = [one for one in self.entries if one[0] != who]
            self.entries = [rest[0], entry, *rest[1:]]
        elif who in self.names():
            self.entries[self.names().index(who)] = entry
        else:
            self.entries.append(entry)
        return IN_QUEUE

    def release(self, who: str) -> int:
        if not self.entries:
            return NON_EXISTENT
        if who not in self.names():
            return NOT_OWNER
        self.entries = [one for one in self.entries if one[0] != who]
        return RELEASED


class Claimants:
    """Three clients who want one name. After each step everybody must have been told what the model says.

    In this order: NameLost to the old owner, NameOwnerChanged to everybody, NameAcquired to the new owner,
    the reply to the caller.
    """

    def __init__(self, bus: Daemon, name: str) -> None:
        self.name = name
        self.queue = Queue()
        self.clients = {who: bus.connect() for who in "ABC"}
        self.unique = {who: client.unique for who, client in self.clients.items()} | {"": ""}
        for client in self.clients.values():
            client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{name}'")

    def request(self, who: str, flags: int) -> int:
        before = self.queue.owner
        expected = self.queue.request(who, flags)
        serial = self.call(who, "RequestName", "su", self.name, flags)
        self.check(before, who, serial, expected)
        return expected

    def release(self, who: str) -> int:
        before = self.queue.owner
        expected = self.queue.release(who)
        serial = self.call(who, "ReleaseName", "s", self.name)
        self.check(before, who, serial, expected)
        return expected

    def leave(self, who: str) -> None:
        before = self.queue.owner
        self.queue.release(who)
        self.clients.pop(who).close()
        if before == who:
            self.check(before, "", 0, 0)

    def call(self, who: str, member: str, signature: str, *body: object) -> int:
        return self.clients[who].start_call(BUS, member, signature, *body, interface=BUS, path=BUS_PATH)

    def check(self, before: str, caller: str, serial: int, result: int) -> None:
        after = self.queue.owner
        for who in sorted(self.clients, key=lambda one: one != caller):
            client = self.clients[who]
            if before != after:
                if who == before:
                    client.expect(member="NameLost", body=(self.name,), destination=client.unique, sender=BUS)
                client.expect(
                    member="NameOwnerChanged", body=(self.name, self.unique[before], self.unique[after])
                )
                if who == after:
                    client.expect(
                        member="NameAcquired", body=(self.name,), destination=client.unique, sender=BUS
                    )
            if who == caller:
                client.expect(type=Type.METHOD_RETURN, reply_serial=serial, body=(result,))
            client.driver("GetId")
            assert client.inbox == []
        self.check_queue()

    def check_queue(self) -> None:
        client = next(iter(self.clients.values()))
        if self.queue.entries:
            expected = [self.unique[who] for who in self.queue.names()]
            assert client.driver("ListQueuedOwners", "s", self.name) == expected
        else:
            assert client.driver("NameHasOwner", "s", self.name) is False
