"""Crashes of a bus whose clients are members of a group: they go back to the relay, and join another one.

A bus that is stopped, with its standby stopped too, is dead as long as a test likes; the kernel goes on.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from upgrade.running import Running

from support.direct import GROUP, echo, needs_group, send_note, sent_directly, stats, wait_until_direct
from support.message import Type
from support.raw import ERROR, BusError, Client

from .conftest import Bus, StartBus, wait_until
from .test_faults import threads

pytestmark = needs_group
CRASHES = int(os.environ.get("CRASHES", "5"))
COUNT = 20
MANY = 1000  # notes: several sockets full


@pytest.fixture
def bus(start_bus: StartBus) -> Bus:
    return start_bus("--standby=on", f"--multicast={GROUP}")


def members(bus: Bus) -> tuple[Client, Client, Client]:
    """Return two clients that send directly to each other, and one that asks."""
    caller, service, asker = bus.connect(), bus.connect(), bus.connect()
    wait_until_direct(asker, caller, service, by=lambda: echo(caller, service))
    return caller, service, asker


def direct_calls(caller: Client, service: Client, asker: Client) -> list[int]:
    """Make calls that go directly and are not answered."""
    before = sent_directly(asker, caller)
    serials = [caller.start_call(service.unique, "Late", "u", number) for number in range(COUNT)]
    assert sent_directly(asker, caller) == before + COUNT
    return serials


def answer(service: Client) -> None:
    """Answer these calls, the latest first."""
    for call in reversed([service.take(type=Type.METHOD_CALL, member="Late") for _ in range(COUNT)]):
        service.reply(call, "u", call.body[0])


class Dead:
    """A bus that is dead, and whose standby has not noticed, as long as this lasts."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.standby = bus.standby

    def __enter__(self) -> None:
        os.kill(self.standby, signal.SIGSTOP)
        os.kill(self.bus.pid, signal.SIGKILL)
        self.bus.reap()

    def __exit__(self, *error: object) -> None:
        os.kill(self.standby, signal.SIGCONT)
        self.bus.pid = self.standby
        self.bus.crashed += 1


class TestIdle:
    def test_members_join_again(self, bus: Bus) -> None:
        """Twice and more in succession."""
        caller, service, asker = members(bus)
        for _ in range(3):
            bus.crash()
            bus.wait()
            assert stats(asker)["Multicast"].startswith("directly")
            wait_until_direct(asker, caller, service, by=lambda: echo(caller, service))
        caller.expect_nothing(service)

    def test_before_the_control_plane_is_there(self, bus: Bus) -> None:
        caller, service, asker = members(bus)
        serials = direct_calls(caller, service, asker)
        for _ in range(3):
            bus.crash()
        answer(service)
        assert [caller.reply_to(serial).body for serial in serials] == [(n,) for n in range(COUNT)]
        bus.wait_for("The bus has crashed")
        caller.expect_nothing(service)

    @pytest.mark.parametrize("place", [0, 1], ids=["control plane", "data plane"])
    def test_faults(self, bus: Bus, place: int) -> None:
        caller, service, asker = members(bus)
        serials = direct_calls(caller, service, asker)
        assert bus.standby
        bus.crash(signal.SIGSEGV, threads(bus.pid)[place])
        answer(service)
        assert [caller.reply_to(serial).body for serial in serials] == [(n,) for n in range(COUNT)]
        bus.wait_for("The bus has crashed (SIGSEGV)")


class TestCalls:
    def test_answered_afterwards(self, bus: Bus) -> None:
        """What was pending in the kernel is pending for the relay, which lets each reply pass once."""
        caller, service, asker = members(bus)
        serials = direct_calls(caller, service, asker)
        bus.crash()
        answer(service)
        assert [caller.reply_to(serial).body for serial in serials] == [(n,) for n in range(COUNT)]
        caller.expect_nothing(service)

    def test_answered_meanwhile(self, bus: Bus) -> None:
        """A reply that goes directly while the bus is dead is the only answer."""
        caller, service, asker = members(bus)
        serials = direct_calls(caller, service, asker)
        with Dead(bus):
            answer(service)
            assert [caller.reply_to(serial).body for serial in serials] == [(n,) for n in range(COUNT)]
        caller.expect_nothing(service)

    def test_made_meanwhile(self, bus: Bus) -> None:
        """Directly, or through the bus once it goes on."""
        caller, service, _ = members(bus)
        with Dead(bus):
            direct = caller.start_call(service.unique, "Small", "u", 1)
            call = service.take(member="Small")
            relayed = caller.start_call(service.unique, "Relayed", "h", 0, fds=[0])
            after = caller.start_call(service.unique, "After", "u", 2)
        assert service.take(type=Type.METHOD_CALL).member == "Relayed"
        assert service.take(member="After").serial == after
        service.reply(call, "u", 3)
        assert caller.reply_to(direct).body == (3,)
        service.close()
        bus.daemon.clients.remove(service)
        caller.expect_error(relayed, ERROR + "NoReply")
        caller.expect_error(after, ERROR + "NoReply")
        caller.expect_nothing(caller)

    def test_the_callee_leaves_meanwhile(self, bus: Bus) -> None:
        caller, service, asker = members(bus)
        serials = direct_calls(caller, service, asker)
        with Dead(bus):
            service.close()
            bus.daemon.clients.remove(service)
        for serial in serials:
            caller.expect_error(serial, ERROR + "NoReply")
        caller.expect_nothing(caller)

    def test_the_caller_leaves_meanwhile(self, bus: Bus) -> None:
        caller, service, asker = members(bus)
        direct_calls(caller, service, asker)
        with Dead(bus):
            caller.close()
            bus.daemon.clients.remove(caller)
        answer(service)
        asker.sync()
        service.sync()
        assert {one.error_name for one in service.inbox} <= {ERROR + "ServiceUnknown"}

    def test_clients_that_join(self, bus: Bus) -> None:
        """Each call has one answer: a client that joins at that moment is a member, or is none."""
        moments = random.Random(42)
        caller = bus.connect()
        for number in range(CRASHES):
            service = bus.connect()
            assert bus.standby
            serial = caller.start_call(service.unique, "Echo", "u", number)
            time.sleep(moments.uniform(0, 0.01))  # the moment of the crash, not a wait
            bus.crash()
            bus.wait()
            service.sync()
            for call in [one for one in service.inbox if one.type == Type.METHOD_CALL]:
                service.reply(call, "u", number)
            try:
                assert caller.reply_to(serial).body == (number,)
            except BusError as error:
                assert error.name == ERROR + "NoReply"
            caller.expect_nothing(service)


class TestQueues:
    def test_a_member_that_does_not_read(self, bus: Bus) -> None:
        """It gets all that waits for it in its socket and in the bus, in order."""
        sender, receiver, asker = members(bus)
        wait_until_direct(asker, sender, by=lambda: send_note(sender, receiver))
        for number in range(MANY):
            sender.signal("Note", "us", number, "x" * 1000, destination=receiver.unique)
        sender.sync()
        bus.crash()
        sender.signal("Note", "us", MANY, "", destination=receiver.unique)
        for number in range(MANY + 1):
            assert receiver.take(member="Note").body[0] == number
        receiver.expect_nothing(sender)

    def test_a_full_socket_meanwhile(self, bus: Bus) -> None:
        """What does not fit goes to the bus, and waits there until it goes on."""
        sender, receiver, asker = members(bus)
        wait_until_direct(asker, sender, by=lambda: send_note(sender, receiver))
        sent = 0
        with Dead(bus):
            sender.socket.setblocking(False)
            try:
                while sent < 100 * MANY:
                    message = sender.message(
                        Type.SIGNAL,
                        "u",
                        sent,
                        member="Note",
                        interface="a.b",
                        path="/",
                        destination=receiver.unique,
                    )
                    sender.socket.send(message.encode())
                    sent += 1
            except BlockingIOError:
                pass
            sender.socket.settimeout(sender.deadline)
        for number in range(sent):
            assert receiver.take(member="Note").body == (number,)
        receiver.expect_nothing(sender)


def test_under_load(start_bus: StartBus) -> None:
    """A message at most is lost with each crash, and a call that is has an answer; most go directly."""
    bus = start_bus("--standby=on", f"--multicast={GROUP}")
    load = Running(bus.daemon.address, 4, 2, 1, 0, 0)
    asker = bus.connect()
    moments = random.Random(42)
    direct = 0
    try:
        for _ in range(CRASHES):
            wait_until(lambda: stats(asker)["DirectMessages"] > 100)
            assert bus.standby
            time.sleep(moments.uniform(0, 0.1))  # the moment of the crash, not a wait
            direct += stats(asker)["DirectMessages"]
            bus.crash()
            bus.wait()
    finally:
        result = load.end()
    print(f"{CRASHES} crashes, {direct} direct messages, {result}")
    assert result.calls and result.signals and result.descriptors
    assert (result.cut_off, result.unanswered) == (0, 0)
    assert result.lost <= CRASHES
    assert result.wrong <= result.lost
