"""Many clients, killed clients and much data, with bounds on the cost."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from support.daemon import Daemon, config
from support.message import Flag, Type
from support.programs import PEERS, Program
from support.raw import Client, Wire

from .conftest import StartDaemon

pytestmark = pytest.mark.stress
MIB = 1 << 20
SIGNALS = "type='signal',interface='org.example.Interface'"


@pytest.fixture(scope="module")
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.option.stress == "long")


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    """Raise our soft limit of descriptors to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def daemon(start_daemon: StartDaemon) -> Daemon:
    return start_daemon(config("unix:path={dir}/bus"))


class TestManyClients:
    CLIENTS, VICTIMS = 1000, 50

    def test_some_are_killed(self, daemon: Daemon) -> None:
        """1,000 clients, 50 of them killed with SIGKILL in the middle of a message: the bus keeps working."""
        clients = [daemon.connect() for _ in range(self.CLIENTS - self.VICTIMS)]
        watcher, target, caller = clients[:3]
        for client in clients:
            client.match(SIGNALS)
        program = Program(
            [sys.executable, str(PEERS / "victims.py"), str(self.VICTIMS), target.unique],
            daemon.environment(),
        )
        try:
            lines = program.read_lines(self.VICTIMS)
            victims = {unique: int(pid) for pid, unique in map(str.split, lines)}
            assert (
                len(set(watcher.driver("ListNames"))) == 1 + self.CLIENTS + self.VICTIMS
            )  # each victim has two
            watcher.match("type='signal',member='NameOwnerChanged',arg2=''")
            serials = [caller.start_call(unique, "Hail") for unique in victims]
            caller.sync()
            watcher.signal("Before")
            for pid in victims.values():
                os.kill(pid, signal.SIGKILL)
            gone: set[str] = set()
            while len(gone) < 2 * self.VICTIMS:
                gone.add(watcher.take(member="NameOwnerChanged").body[0])
            assert gone >= set(victims)
            for serial in serials:
                assert caller.expect_error(serial, "org.freedesktop.DBus.Error.NoReply")
        finally:
            program.stop()
        watcher.signal("After")
        for client in clients:
            client.take(member="Before")
            client.take(member="After")
        target.expect_nothing()
        assert len(watcher.driver("ListNames")) == 1 + len(clients)


class TestNoGrowth:
    def visit(self, daemon: Daemon, number: int) -> None:
        """Connect and disconnect at a different point each time."""
        if number % 8 == 0:
            Wire(daemon.address).close()
        elif number % 8 == 1:
            wire = Wire(daemon.address)
            wire.send_bytes(b"\0AUTH EXTERNAL\r\nDA")
            wire.close()
        elif number % 8 == 2:
            Client(daemon.address, hello=False).close()
        elif number % 8 == 3:
            client = Client(daemon.address)
            client.own(f"org.example.Visitor{number}")
            client.match("type='signal',arg0='x',path_namespace='/a'")
            client.start_call(client.unique, "Hail")
            client.close()
        elif number % 8 == 4:
            client = Client(daemon.address)
            read, write = os.pipe()
            client.signal("News", "h", 0, fds=[read])
            client.start_call("org.example.Absent", "Take", "h", 0, fds=[write])
            os.close(read)
            os.close(write)
            client.close()
        elif number % 8 == 5:
            client = Client(daemon.address)
            client.send_bytes(
                client.message(Type.SIGNAL, "ay", bytes(5000), path="/a", member="M").encode()[:-100]
            )
            client.close()
        else:
            Client(daemon.address).close()

    def test_connections(self, daemon: Daemon, long: bool) -> None:
        """Descriptors and memory do not grow over many connects and disconnects."""
        steady = daemon.connect()
        count = 100_000 if long else 2_000

        def settle() -> int:
            while len(steady.driver("ListNames")) > 2:
                pass
            for _ in range(100):
                steady.sync()
            return daemon.open_files()

        deadline = time.monotonic() + steady.deadline
        for number in itertools.count():
            self.visit(daemon, number)
            if number > max(500, count // 20) and (daemon.watches() or time.monotonic() > deadline):
                break
        files, memory = settle(), daemon.memory()
        for number in range(count):
            self.visit(daemon, number)
        # When the watch starts the configuration is read once more, with a few more descriptors meanwhile.
        assert settle() <= files
        assert daemon.memory() - memory < 2 * MIB

    def test_messages(self, daemon: Daemon, long: bool) -> None:
        """They do not grow over many messages either."""
        client, other = daemon.connect(), daemon.connect()
        other.match(SIGNALS)

        def exchange(count: int) -> None:
            for number in range(count):
                client.signal("News", "s", "x" * (number % 3000))
                other.expect(member="News")
                serial = client.start_call(other.unique, "Hail")
                other.reply(other.expect(member="Hail"))
                client.reply_to(serial)
                client.own(f"org.example.Name{number % 10}")
                client.driver("ReleaseName", "s", f"org.example.Name{number % 10}")
                client.inbox.clear()

        exchange(500)
        files, memory = daemon.open_files(), daemon.memory()
        exchange(20_000 if long else 1_000)
        assert daemon.open_files() == files
        assert daemon.memory() - memory < 2 * MIB


class TestMuchAtOnce:
    def test_all_to_all(self, daemon: Daemon, long: bool) -> None:
        """Several senders to several receivers at once: every message arrives, in its sender's order."""
        count = 5000 if long else 300
        senders = [daemon.connect() for _ in range(4)]
        receivers = [daemon.connect() for _ in range(4)]
        for receiver in receivers:
            receiver.match(SIGNALS)
        failures: list[BaseException] = []

        def send(client: Client) -> None:
            for number in range(count):
                data = bytes((number * 7919) % 20_000)
                client.start_call(
                    receivers[number % 4].unique, "Hail", "uay", number, data, flags=Flag.NO_REPLY_EXPECTED
                )
                if number % 3 == 0:
                    client.signal("News", "uay", number, data[:100])

        def receive(client: Client, place: int) -> None:
            seen: dict[str | None, int] = {sender.unique: -1 for sender in senders}
            for _ in range(len(senders) * (len(range(place, count, 4)) + len(range(0, count, 3)))):
                message = client.receive()
                assert message.body[0] >= seen[message.sender]
                seen[message.sender] = message.body[0]

        def guard(task: object, *arguments: object) -> None:
            try:
                task(*arguments)  # type: ignore[operator]
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=guard, args=(send, client)) for client in senders]
        threads += [
            threading.Thread(target=guard, args=(receive, client, at)) for at, client in enumerate(receivers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        for receiver in receivers:
            receiver.expect_nothing(*senders)

    def test_names_under_load(self, daemon: Daemon) -> None:
        """Many connections request one name: all of them get it, one after the other."""
        clients = [daemon.connect() for _ in range(50)]
        watcher = daemon.connect()
        watcher.match("type='signal',member='NameOwnerChanged',arg0='org.example.Wanted'")
        for client in clients:
            client.driver("RequestName", "su", "org.example.Wanted", 0)
        for client in clients:
            client.close()
        owners = [watcher.expect(member="NameOwnerChanged").body[2]]
        while owners[-1]:
            owners.append(watcher.expect(member="NameOwnerChanged").body[2])
        assert owners[0] == clients[0].unique
        assert len(owners) == len(set(owners))
        assert watcher.driver("NameHasOwner", "s", "org.example.Wanted") is False
