"""SIGKILL of a sender, of a receiver and of the bus during traffic."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.direct import GROUP, alone, echo, received_directly, send_note, sent_directly, wait_until_direct
from support.message import Type
from support.programs import PEERS, Program
from support.raw import DEADLINE, ERROR, Client, Closed

pytestmark = pytest.mark.deviation("multicast")
REFERENCES = Path("/sys/module/unix_multicast/refcnt")
GONE = "type='signal',member='NameOwnerChanged',arg2=''"

StartPeer = Callable[..., tuple[Program, str]]


@pytest.fixture
def peer(bus: Daemon) -> Iterator[StartPeer]:
    """Start a client process; return it and its unique name."""
    programs = []

    def begin(role: str, *arguments: str) -> tuple[Program, str]:
        command = [sys.executable, str(PEERS / "member.py"), role, *arguments]
        programs.append(Program(command, bus.environment()))
        return programs[-1], programs[-1].read_lines(1)[0]

    yield begin
    for program in programs:
        program.stop()


def kill(program: Program) -> None:
    os.kill(program.process.pid, signal.SIGKILL)


class TestReceiver:
    """A caller with a pending call to a killed receiver gets an error at once."""

    COUNT = 20

    def wait_for(self, caller: Client, name: str, member: str, count: int = 1) -> list[int]:
        return [caller.start_call(name, member, "u", number) for number in range(count)]

    def test_callers(self, bus: Daemon, peer: StartPeer, way: str) -> None:
        watcher, caller = bus.connect(), bus.connect()
        program, name = peer("echo")
        watcher.match(GONE)
        if way == GROUP:
            wait_until_direct(watcher, caller, by=lambda: caller.call(name, "Echo", "u", 1))
        before = sent_directly(watcher, caller)
        serials = self.wait_for(caller, name, "Wait", self.COUNT)
        caller.call(name, "Echo", "u", 2)  # all have reached it
        direct = sent_directly(watcher, caller) - before
        assert direct == (self.COUNT + 1 if way == GROUP else 0)
        kill(program)
        for serial in serials:
            caller.expect_error(serial, ERROR + "NoReply")
        assert watcher.take(member="NameOwnerChanged").body == (name, name, "")
        caller.expect_nothing(caller)

    def test_both_ways(self, bus: Daemon, peer: StartPeer, way: str) -> None:
        """Calls through the bus and direct calls."""
        caller, other = bus.connect(), bus.connect()
        program, name = peer("echo")
        if way == GROUP:
            wait_until_direct(other, caller, by=lambda: caller.call(name, "Echo", "u", 1))
        serials = []
        for number in range(self.COUNT):
            size = 100_000 if number % 4 == 0 else 10
            serials.append(caller.start_call(name, "Wait", "ay", bytes(size)))
        caller.call(name, "Echo", "u", 2)
        kill(program)
        for serial in serials:
            caller.expect_error(serial, ERROR + "NoReply")
        echo(caller, other)

    def test_under_load(self, bus: Daemon, peer: StartPeer, way: str) -> None:
        """Its senders' messages to others continue, and none is lost."""
        asker, sender, other = bus.connect(), bus.connect(), bus.connect()
        program, name = peer("echo")
        asker.match(GONE)
        other.match("type='signal',member='Cast'")
        for number in range(200):
            sender.signal("Note", "u", number, destination=name)
            sender.signal("Note", "u", number, destination=other.unique)
            sender.signal("Cast", "u", number)
            if number == 100:
                kill(program)
            other.expect(member="Note", body=(number,))
            other.expect(member="Cast", body=(number,))
        asker.take(member="NameOwnerChanged", body=(name, name, ""))
        sender.sync()
        assert {one.error_name for one in sender.inbox} <= {ERROR + "ServiceUnknown"}
        sender.inbox.clear()
        if way == GROUP:
            wait_until_direct(asker, sender, by=lambda: send_note(sender, other))


class TestSender:
    def test_last_messages(self, bus: Daemon, peer: StartPeer, way: str) -> None:
        """Its messages arrive, then NameOwnerChanged, then nothing."""
        asker, receiver = bus.connect(), bus.connect()
        receiver.match("type='signal',member='Cast'")
        receiver.match(GONE)
        program, name = peer("flood", receiver.unique)
        next_of = {"Note": 0, "Cast": 0}

        def take_some(count: int) -> None:
            for _ in range(count):
                one = receiver.receive()
                assert (one.sender, one.body) == (name, (next_of[str(one.member)],))
                next_of[str(one.member)] += 1

        take_some(400)
        if way == GROUP:
            end = time.monotonic() + DEADLINE
            while received_directly(asker, receiver) == 0:
                take_some(100)
                assert time.monotonic() < end
        kill(program)
        while (one := receiver.receive()).member != "NameOwnerChanged":
            assert (one.sender, one.body) == (name, (next_of[str(one.member)],))
            next_of[str(one.member)] += 1
        assert one.body == (name, name, "")
        assert 0 <= next_of["Note"] - next_of["Cast"] <= 1
        receiver.expect_nothing(asker)

    def test_a_caller(self, bus: Daemon, peer: StartPeer, way: str) -> None:
        """A reply to a departed caller is discarded, and the next client starts afresh."""
        callee, asker = bus.connect(), bus.connect()
        callee.match(GONE)
        for _ in range(10):
            caller = bus.connect()
            if way == GROUP:
                wait_until_direct(asker, caller, by=lambda caller=caller: echo(caller, callee))
            caller.start_call(callee.unique, "Hail")
            call = callee.take(member="Hail")
            caller.close()
            callee.take(member="NameOwnerChanged", body=(caller.unique, caller.unique, ""))
            callee.reply(call)
            callee.sync()
            callee.inbox.clear()


class TestDaemon:
    """All clients are disconnected, none hangs, and the kernel keeps no state of them."""

    def references(self) -> int:
        return int(REFERENCES.read_text()) if REFERENCES.exists() else 0

    def test_killed(self, bus: Daemon, peer: StartPeer, way: str) -> None:
        """Some exchange direct messages, one is blocked because the bus has stopped reading."""
        asker, client, other, slow = (bus.connect() for _ in range(4))
        if way == GROUP:
            wait_until_direct(asker, client, other, by=lambda: echo(client, other))
        _, flooded = peer("echo")
        flooding, _ = peer("flood", flooded)
        stuck, _ = peer("flood", slow.unique)
        for number in range(50):
            echo(client, other, number)
        slow.take(member="Note", body=(0,))
        os.kill(bus.pid, signal.SIGSTOP)
        waiting = client.start_call(other.unique, "Hail")
        assert waiting
        self.wait_until_blocked(stuck)
        os.kill(bus.pid, signal.SIGKILL)
        bus.process.wait(DEADLINE)
        for one in (asker, client, other, slow):
            with pytest.raises(Closed):
                while True:
                    one.receive()
        for program in (flooding, stuck):
            program.read_until("end")
            assert program.process.wait(DEADLINE) == 0
        with pytest.raises(Closed):
            client.start_call(other.unique, "Hail")

    def wait_until_blocked(self, program: Program) -> None:
        """Wait until it sleeps, and was not woken between two checks."""
        end = time.monotonic() + DEADLINE
        path, seen = Path(f"/proc/{program.process.pid}/status"), ""
        while (now := path.read_text()) != seen or "S (sleeping)" not in now:
            assert time.monotonic() < end
            seen = now
            time.sleep(0.1)

    @pytest.mark.skipif(not alone(), reason="others have references too; the module is unloaded at the end")
    def test_references(self, begin: Callable[[], Daemon], way: str) -> None:
        before = self.references()
        bus = begin()
        clients = [bus.connect() for _ in range(10)]
        if way == GROUP:
            wait_until_direct(clients[0], clients[1], by=lambda: echo(clients[1], clients[2]))
            assert self.references() > before
        bus.process.kill()
        bus.process.wait(DEADLINE)
        for one in clients:
            one.close()
        end = time.monotonic() + DEADLINE
        while self.references() != before:
            assert time.monotonic() < end, f"{self.references()} references"
            time.sleep(0.01)


class TestType:
    def test_reply_of_a_killed_callee(self, bus: Daemon, peer: StartPeer) -> None:
        """Killed after its reply: the reply arrives, and no error."""
        caller = bus.connect()
        program, name = peer("echo")
        for number in range(50):
            caller.call(name, "Echo", "u", number)
        serial = caller.start_call(name, "Echo", "u", 50)
        reply = caller.reply_to(serial)
        kill(program)
        assert (reply.type, reply.body) == (Type.METHOD_RETURN, (50,))
        program.process.wait(DEADLINE)
        caller.expect_nothing(caller)
