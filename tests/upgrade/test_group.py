"""Upgrades of a bus whose clients are members of a kernel group: they leave it, and then join another one."""

from __future__ import annotations

import os

import pytest

from support.direct import GROUP, echo, needs_group, send_note, sent_directly, stats, wait_until_direct
from support.message import Type
from support.raw import Client

from .conftest import Bus, StartBus

pytestmark = needs_group


@pytest.fixture
def bus(start_bus: StartBus) -> Bus:
    return start_bus(f"--multicast={GROUP}")


def members(bus: Bus) -> tuple[Client, Client, Client]:
    """Return two clients that send directly to each other, and one that asks."""
    caller, service, asker = bus.connect(), bus.connect(), bus.connect()
    wait_until_direct(asker, caller, service, by=lambda: echo(caller, service))
    return caller, service, asker


class TestMembers:
    def test_join_again(self, bus: Bus) -> None:
        """With traffic they are members of the new program's group."""
        caller, service, asker = members(bus)
        for _ in range(3):
            bus.upgrade(asker)
            assert stats(asker)["Multicast"].startswith("directly")
            wait_until_direct(asker, caller, service, by=lambda: echo(caller, service))

    def test_calls_under_way(self, bus: Bus) -> None:
        """A call that went directly before is answered after; nothing is lost or comes twice."""
        caller, service, asker = members(bus)
        before = sent_directly(asker, caller)
        serials = [caller.start_call(service.unique, "Late", "u", number) for number in range(20)]
        calls = [service.take(type=Type.METHOD_CALL, member="Late") for _ in serials]
        assert sent_directly(asker, caller) > before
        bus.upgrade(asker)
        for call in reversed(calls):
            service.reply(call, "u", call.body[0])
        assert [caller.reply_to(serial).body for serial in serials] == [(n,) for n in range(20)]
        caller.expect_nothing(service)

    def test_the_callee_leaves(self, bus: Bus) -> None:
        caller, service, asker = members(bus)
        serial = caller.start_call(service.unique, "Never")
        service.take(member="Never")
        bus.upgrade(asker)
        service.close()
        bus.daemon.clients.remove(service)
        caller.expect_error(serial, "org.freedesktop.DBus.Error.NoReply")

    def test_unread_messages(self, bus: Bus) -> None:
        """What waits in the receiver's socket stays there, in its order, with descriptors."""
        sender, receiver, asker = members(bus)
        wait_until_direct(asker, sender, by=lambda: send_note(sender, receiver))
        read, write = os.pipe()
        for number in range(10):
            sender.signal("Note", "uh", number, 0, destination=receiver.unique, fds=[write])
        os.close(write)
        bus.upgrade(asker)
        sender.signal("Note", "u", 10, destination=receiver.unique)
        notes = [receiver.take(member="Note") for _ in range(11)]
        assert [note.body[0] for note in notes] == list(range(11))
        assert [len(note.fds) for note in notes] == [1] * 10 + [0]
        os.close(read)

    def test_failure(self, bus: Bus) -> None:
        """The bus goes on with a group, although its members had left when the rehearsal failed."""
        caller, service, asker = members(bus)
        (bus.directory / "bus.conf").write_text("<busconfig>")
        assert "bus.conf" in bus.refuses(asker)
        assert stats(asker)["Multicast"].startswith("directly")
        wait_until_direct(asker, caller, service, by=lambda: echo(caller, service))
