"""What clients have and do goes on across an upgrade, as if nothing had happened."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from support.daemon import STRICT_POLICY
from support.message import Type
from support.raw import BUS, BUS_PATH, BusError, Client, Wire
from support.wire import Variant

from .conftest import CONTROL, Bus, StartBus

NAME = "org.example.Service"
SERVICE = Path(__file__).parents[1] / "activation/service.py"
MONITORING = "org.freedesktop.DBus.Monitoring"
LISTENERS = "org.omnibus.Listeners1"
METADATA = "org.omnibus.Metadata1"


class TestConnections:
    def test_nothing_is_to_be_seen(self, bus: Bus) -> None:
        """Clients keep their connections and names, and no signal tells of an upgrade."""
        clients = [bus.connect() for _ in range(20)]
        watcher = bus.connect()
        watcher.match("type='signal',sender='org.freedesktop.DBus'")
        for _ in range(3):
            bus.upgrade(clients[0])
        watcher.expect_nothing(*clients)
        assert watcher.driver("GetConnectionUnixProcessID", "s", BUS) in (bus.pid, os.getpid())
        names = {client.driver("GetNameOwner", "s", client.unique) for client in clients}
        assert names == {client.unique for client in clients}

    def test_observers(self, bus: Bus) -> None:
        """Who listens goes on being told, without a change that is missed."""
        observer, listener, rule = bus.connect(), bus.connect(), "type='signal',member='M'"
        observer.driver("Watch", interface=LISTENERS)
        listener.match(rule)
        bus.upgrade(listener)
        listener.match(rule)
        for copies in (1, 2):
            observer.expect(member="Changed", body=([(listener.unique, rule, copies)],))
        observer.expect_nothing(listener)

    def test_metadata(self, bus: Bus) -> None:
        """Those of connections that are still there, also across the next upgrade."""
        client, gone, other = bus.connect(), bus.connect(), bus.connect()
        metadata = {"org.example.Host": Variant("s", "web")}
        for one in (client, gone):
            one.driver("SetMetadata", "a{sv}", metadata, interface=METADATA)
        other.match(f"type='signal',member='NameOwnerChanged',arg0='{gone.unique}'")
        gone.close()
        other.take(member="NameOwnerChanged")
        for _ in range(2):
            bus.upgrade(other)
            assert other.driver("GetMetadata", "s", client.unique, interface=METADATA) == metadata
            assert other.driver("GetMetadata", "s", other.unique, interface=METADATA) == {}

    def test_new_connections(self, bus: Bus) -> None:
        """Ids go on; the socket is the same, and so is the id of the bus."""
        before = bus.connect()
        identity = before.driver("GetId")
        bus.upgrade(before)
        after = bus.connect()
        assert int(after.unique.partition(".")[2]) == int(before.unique.partition(".")[2]) + 1
        assert after.driver("GetId") == identity

    def test_connections_that_wait(self, bus: Bus) -> None:
        """A client that connects while the bus is frozen is accepted afterwards."""
        client = bus.connect()
        serial = bus.start_upgrade(client)
        later = [bus.connect() for _ in range(5)]
        client.reply_to(serial)
        assert len({one.driver("GetId") for one in later}) == 1

    def test_credentials(self, bus: Bus) -> None:
        client, other = bus.connect(), bus.connect()
        before = other.driver("GetConnectionCredentials", "s", client.unique)
        bus.upgrade()
        assert other.driver("GetConnectionCredentials", "s", client.unique) == before

    @pytest.mark.parametrize("at", [0, 1, 20, 33, -3])
    def test_half_a_handshake(self, bus: Bus, at: int) -> None:
        text = b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n"
        wire = Wire(bus.daemon.address)
        wire.send_bytes(text[:at])
        wire.wait_until_read()
        bus.upgrade()
        wire.send_bytes(text[at:])
        assert wire.read_line().startswith(b"OK ")
        wire.close()

    def test_a_handshake_of_the_control_plane(self, bus: Bus) -> None:
        """Commands that the data plane does not know are heard again, and not answered twice."""
        wire = Wire(bus.daemon.address)
        wire.send_bytes(b"\0FOO\r\nAUTH\r\n")
        assert wire.read_line().startswith(b"ERROR")
        assert wire.read_line().startswith(b"REJECTED")
        bus.upgrade()
        wire.send_bytes(b"AUTH EXTERNAL\r\nDATA\r\n")
        assert wire.read_line() == b"DATA"
        assert wire.read_line().startswith(b"OK ")
        wire.close()

    def test_half_a_message(self, bus: Bus) -> None:
        sender, receiver = bus.connect(), bus.connect()
        for at in (1, 15, 16, 100, 70_000):
            message = sender.message(
                Type.SIGNAL,
                "s",
                "x" * 100_000,
                path="/a",
                interface="a.b",
                member="M",
                destination=receiver.unique,
            )
            data = message.encode()
            sender.send_bytes(data[:at])
            sender.wait_until_read()
            bus.upgrade()
            sender.send_bytes(data[at:])
            assert receiver.expect(member="M").body == ("x" * 100_000,)

    def test_what_is_not_read(self, bus: Bus) -> None:
        """Messages that wait for a slow client, one of them half-written, arrive in their order."""
        sender, slow = bus.connect(), bus.connect()
        for number in range(40):
            sender.signal("M", "us", number, "x" * 50_000, destination=slow.unique)
        sender.sync()
        bus.upgrade(sender)
        for number in range(40, 50):
            sender.signal("M", "us", number, "x" * 50_000, destination=slow.unique)
        assert [slow.expect(member="M").body[0] for _ in range(50)] == list(range(50))

    def test_descriptors(self, bus: Bus) -> None:
        """One that waits for its receiver, and one that came before the rest of its message."""
        sender, receiver = bus.connect(), bus.connect()
        filler = "x" * 3_000_000
        sender.signal("Filler", "s", filler, destination=receiver.unique)
        read, write = os.pipe()
        sender.signal("Fd", "h", 0, destination=receiver.unique, fds=[write])
        sender.sync()
        message = sender.message(
            Type.SIGNAL,
            "h",
            0,
            path="/a",
            interface="a.b",
            member="Half",
            destination=receiver.unique,
            fds=[write],
        )
        data = message.encode()
        sender.send_bytes(data[:50], [write])
        sender.wait_until_read()
        os.close(write)
        bus.upgrade()
        sender.send_bytes(data[50:])
        receiver.expect(member="Filler")
        for text, member in ((b"one", "Fd"), (b"two", "Half")):
            (fd,) = receiver.expect(member=member).fds
            os.write(fd, text)
            os.close(fd)
            assert os.read(read, 10) == text
        receiver.fds.clear(), receiver.kept.clear()
        bus.daemon.close_clients()
        assert os.read(read, 10) == b""
        os.close(read)


class TestNames:
    def test_queues(self, bus: Bus) -> None:
        """Each with its flags, and in their order."""
        a, b, c, d = (bus.connect() for _ in range(4))
        assert a.own(NAME, 1) == 1
        assert b.own(NAME) == 2
        assert c.own(NAME, 4 | 1) == 3
        assert d.own(NAME) == 2
        bus.upgrade()
        assert a.driver("ListQueuedOwners", "s", NAME) == [a.unique, b.unique, d.unique]
        assert c.own(NAME, 2 | 4) == 1  # replaces a, which has allowed it
        a.take(member="NameLost", body=(NAME,))
        c.close()
        bus.daemon.clients.remove(c)
        a.take(member="NameAcquired", body=(NAME,))
        a.driver("ReleaseName", "s", NAME)
        b.take(member="NameAcquired", body=(NAME,))

    def test_order_of_requests(self, bus: Bus) -> None:
        """At the end of a connection its names are released in reverse order."""
        owner, watcher = bus.connect(), bus.connect()
        names = [f"org.example.N{number}" for number in (3, 1, 2)]
        for name in names:
            owner.own(name)
        watcher.match("type='signal',member='NameOwnerChanged',arg2=''")
        bus.upgrade()
        owner.close()
        bus.daemon.clients.remove(owner)
        gone = [watcher.take(member="NameOwnerChanged").body[0] for _ in range(4)]
        while gone[0] not in (*names, owner.unique):  # that of the connection that asked
            gone = [*gone[1:], watcher.take(member="NameOwnerChanged").body[0]]
        assert gone == [*reversed(names), owner.unique]


class TestMessages:
    def test_calls_under_way(self, bus: Bus) -> None:
        caller, service = bus.connect(), bus.connect()
        serials = [caller.start_call(service.unique, f"M{number}") for number in range(10)]
        calls = [service.take(type=Type.METHOD_CALL) for _ in serials]
        bus.upgrade()
        for call in calls:
            service.reply(call, "s", call.member)
        assert [caller.reply_to(serial).body for serial in serials] == [(f"M{n}",) for n in range(10)]

    def test_a_reply_that_no_peer_owes(self, start_bus: StartBus) -> None:
        """Pending replies are known by caller, callee and serial: another is refused as before."""
        bus = start_bus(policy=STRICT_POLICY)
        caller, service = bus.connect(), bus.connect()
        caller.start_call(service.unique, "M")
        call = service.take(member="M")
        bus.upgrade(caller)
        wrong = service.message(Type.METHOD_RETURN, destination=caller.unique, reply_serial=call.serial + 1)
        service.send(wrong)
        service.reply(call)
        assert caller.take(type=Type.METHOD_RETURN).reply_serial == call.serial

    def test_the_caller_is_told_that_its_callee_has_gone(self, bus: Bus) -> None:
        caller, service = bus.connect(), bus.connect()
        serial = caller.start_call(service.unique, "M")
        service.take(member="M")
        bus.upgrade(caller)
        service.close()
        bus.daemon.clients.remove(service)
        caller.expect_error(serial, "org.freedesktop.DBus.Error.NoReply")

    def test_match_rules(self, bus: Bus) -> None:
        sender, receiver = bus.connect(), bus.connect()
        receiver.match("type='signal',interface='org.example.Interface',arg0='yes'")
        receiver.match("type='signal',member='Twice'")
        receiver.match("type='signal',member='Twice'")
        bus.upgrade()
        sender.signal("M", "s", "no")
        sender.signal("M", "s", "yes")
        sender.signal("Twice")
        assert receiver.expect(type=Type.SIGNAL, member="M").body == ("yes",)
        receiver.expect(member="Twice")
        receiver.driver("RemoveMatch", "s", "type='signal',member='Twice'")
        receiver.driver("RemoveMatch", "s", "type='signal',member='Twice'")
        with pytest.raises(BusError):
            receiver.driver("RemoveMatch", "s", "type='signal',member='Twice'")

    def test_a_monitor(self, bus: Bus) -> None:
        monitor, other = bus.connect(), bus.connect()
        monitor.driver("BecomeMonitor", "asu", ["member='M'"], 0, interface=MONITORING)
        bus.upgrade()
        other.signal("Other")
        other.signal("M")
        assert monitor.take(member="M").sender == other.unique
        assert monitor.unique not in other.driver("ListNames")
        monitor.close()
        bus.daemon.clients.remove(monitor)
        bus.wait_for("Monitoring connection")

    def test_statistics_go_on(self, bus: Bus) -> None:
        client = bus.connect()
        stats = "org.freedesktop.DBus.Debug.Stats"
        before = client.driver("GetStats", interface=stats)
        bus.upgrade(client)
        after = client.driver("GetStats", interface=stats)
        assert after["Serial"][1] == before["Serial"][1] + 1
        assert after["omnibus.MessagesReceived"][1] > before["omnibus.MessagesReceived"][1]


class TestServices:
    """Starts go on: nothing is begun twice, and each party that waits is answered."""

    @pytest.fixture
    def slow_bus(self, start_bus: StartBus, tmp_path: Path) -> Bus:
        """A bus with a service that waits for a line in a pipe before it requests its name."""
        self.pipe = tmp_path / "pipe"
        self.log = tmp_path / "log"
        os.mkfifo(self.pipe)
        wait = f"echo started >>{self.log}; read line <{self.pipe}; exec {sys.executable} {SERVICE} {NAME}"
        (tmp_path / f"{NAME}.service").write_text(f'[D-BUS Service]\nName={NAME}\nExec=/bin/sh -c "{wait}"\n')
        return start_bus(extra=f"<servicedir>{tmp_path}</servicedir>")

    def begin(self, bus: Bus) -> tuple[Client, Client, int, int]:
        """Let one client wait for the start, and another one's message for the service."""
        caller, sender = bus.connect(), bus.connect()
        call = caller.start_call(BUS, "StartServiceByName", "su", NAME, 0, path=BUS_PATH, interface=BUS)
        message = sender.start_call(NAME, "Hello")
        end = time.monotonic() + 20
        while not self.log.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        sender.driver("GetId")
        return caller, sender, call, message

    def let_it_go(self) -> None:
        self.pipe.write_text("go\n")

    def test_parties_that_wait(self, slow_bus: Bus) -> None:
        caller, sender, call, message = self.begin(slow_bus)
        for _ in range(2):
            slow_bus.upgrade()
        self.let_it_go()
        assert caller.reply_to(call).body == (1,)
        assert sender.reply_to(message).sender
        assert self.log.read_text() == "started\n"

    def test_a_program_that_ends_meanwhile(self, slow_bus: Bus) -> None:
        """It is still a child of the same process, which reaps it."""
        caller, sender, call, message = self.begin(slow_bus)
        slow_bus.upgrade()
        (child,) = Path(f"/proc/{slow_bus.pid}/task/{slow_bus.pid}/children").read_text().split()
        os.kill(int(child), 9)
        name = "org.freedesktop.DBus.Error.Spawn.ChildSignaled"
        caller.expect_error(call, name)
        sender.expect_error(message, name)
        assert not Path(f"/proc/{child}").exists()

    def test_a_variable(self, slow_bus: Bus) -> None:
        client = slow_bus.connect()
        client.driver("UpdateActivationEnvironment", "a{ss}", {"KEY": "välue"})
        slow_bus.upgrade(client)
        serial = client.start_call(NAME, "Environment")
        self.let_it_go()
        environment = client.reply_to(serial).body[0]
        assert '"KEY": "v\\u00e4lue"' in environment
        assert "OMNIBUS_PROGRAM" not in environment
        assert slow_bus.daemon.address in environment.replace("\\/", "/")


class TestFiles:
    def test_what_is_removed_at_the_end(self, start_bus: StartBus, tmp_path: Path) -> None:
        """The socket and the pid file, which are the same before, are removed by the program that ends."""
        pidfile = tmp_path / "pid"
        bus = start_bus(extra=f"<pidfile>{pidfile}</pidfile>")
        bus.connect()  # by now the file is written
        socket = bus.directory / "bus"
        before = pidfile.read_text(), socket.stat().st_ino
        bus.upgrade()
        assert (pidfile.read_text(), socket.stat().st_ino) == before
        bus.daemon.close_clients()
        assert bus.daemon.terminate() == 0
        assert not pidfile.exists()
        assert not socket.exists()

    def test_no_descriptor_is_left(self, bus: Bus) -> None:
        client = bus.connect()
        bus.upgrade(client)
        before = sorted(os.listdir(f"/proc/{bus.pid}/fd"))
        for _ in range(3):
            bus.upgrade(client)
        assert len(os.listdir(f"/proc/{bus.pid}/fd")) <= len(before) + 1

    def test_a_reload_afterwards(self, bus: Bus) -> None:
        client = bus.connect()
        bus.upgrade(client)
        client.driver("ReloadConfig")

    def test_a_signal(self, bus: Bus) -> None:
        """SIGUSR2 upgrades as well: where no client can connect any more."""
        client = bus.connect()
        bus.signal()
        bus.wait_for("Upgraded")
        assert client.driver("GetId")

    def test_the_interface_is_described(self, bus: Bus) -> None:
        found = bus.connect().driver("Introspect", interface="org.freedesktop.DBus.Introspectable")
        assert f'<interface name="{CONTROL}">' in found
