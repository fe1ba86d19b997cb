"""A bus that is killed while nothing is under way: clients notice a pause, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from support.daemon import DEADLINE, adoption, children, config, end_process, private_directory
from support.message import Type
from support.raw import BUS, BUS_PATH, Client, Wire
from support.wire import Variant

from .conftest import STANDBY, Bus, StartBus, command_name, standby_of, wait_until

NAME = "org.example.Service"
OTHER = "org.example.Other"
MONITORING = "org.freedesktop.DBus.Monitoring"
LISTENERS = "org.omnibus.Listeners1"
METADATA = "org.omnibus.Metadata1"


class TestConnections:
    def test_clients_of_every_kind(self, bus: Bus) -> None:
        """Twenty clients keep connection, unique name, names, match rules, queues and pending calls."""
        clients = [bus.connect() for _ in range(17)]
        caller, service, subscriber, waiting = clients[:4]
        watcher = bus.connect()
        watcher.match("type='signal',sender='org.freedesktop.DBus'")
        service.own(NAME)
        waiting.own(NAME)
        subscriber.match("type='signal',interface='org.example',arg0='x'")
        serial = caller.start_call(NAME, "Slow", "u", 7)
        call = service.take(type=Type.METHOD_CALL)
        monitor = bus.connect()
        monitor.call(BUS, "BecomeMonitor", "asu", [], 0, interface=MONITORING, path=BUS_PATH)
        monitor.take(member="NameLost")
        names = sorted(caller.driver("ListNames"))
        watcher.sync()
        watcher.inbox.clear()
        bus.crash()
        bus.wait()
        watcher.expect_nothing(*clients)
        assert sorted(caller.driver("ListNames")) == names
        assert caller.driver("GetNameOwner", "s", NAME) == service.unique
        assert caller.driver("ListQueuedOwners", "s", NAME) == [service.unique, waiting.unique]
        service.reply(call, "u", 8)
        assert caller.reply_to(serial).body == (8,)
        service.signal("Tick", "s", "x", interface="org.example")
        subscriber.expect(member="Tick", body=("x",))
        monitor.take(member="Tick")
        new = bus.connect()
        assert int(new.unique.partition(".")[2]) > max(int(one.unique.partition(".")[2]) for one in clients)

    def test_again_and_again(self, bus: Bus) -> None:
        """Each successor has a standby of its own."""
        caller, service = bus.connect(), bus.connect()
        service.own(NAME)
        for n in range(4):
            bus.crash()
            serial = caller.start_call(NAME, "Echo", "u", n)
            service.reply(service.take(type=Type.METHOD_CALL), "u", n)
            assert caller.reply_to(serial).body == (n,)

    def test_many(self, bus: Bus) -> None:
        clients = [bus.connect() for _ in range(300)]
        for n, client in enumerate(clients):
            client.own(f"{NAME}{n}")
            client.match(f"type='signal',interface='a.b',member='M{n}'")
        bus.crash()
        for n, client in enumerate(clients):
            assert client.driver("GetNameOwner", "s", f"{NAME}{n}") == client.unique

    def test_flags_of_names(self, bus: Bus) -> None:
        """ALLOW_REPLACEMENT of each request still holds: it is granted by either plane."""
        first, second, third = bus.connect(), bus.connect(), bus.connect()
        first.own(NAME, 1)
        second.own(OTHER, 0)
        third.driver("RequestName", "su", OTHER, 1)
        third.driver("RequestName", "su", OTHER, 0)
        bus.crash()
        assert third.driver("RequestName", "su", NAME, 2) == 1
        assert first.driver("RequestName", "su", OTHER, 2) == 2

    def test_observers(self, bus: Bus) -> None:
        """An observer is told that it may have missed a change, and asks again."""
        observer, listener, rule = bus.connect(), bus.connect(), "type='signal',member='M'"
        observer.driver("Watch", interface=LISTENERS)
        listener.match(rule)
        observer.expect(member="Changed", body=([(listener.unique, rule, 1)],))
        bus.crash()
        observer.expect(member="Lost", interface=LISTENERS)
        listener.match(rule)
        observer.expect_nothing(listener)
        observer.driver("Watch", interface=LISTENERS)
        observer.expect(member="Changed", body=([(listener.unique, rule, 2)],))

    def test_metadata(self, bus: Bus) -> None:
        """What was said before the reply is there."""
        client, other = bus.connect(), bus.connect()
        for number in (1, 2):
            metadata = {"org.example.Number": Variant("u", number)}
            client.driver("SetMetadata", "a{sv}", metadata, interface=METADATA)
        bus.crash()
        assert other.driver("GetMetadata", "s", client.unique, interface=METADATA) == metadata

    def test_credentials(self, bus: Bus) -> None:
        client, other = bus.connect(), bus.connect()
        before = other.driver("GetConnectionCredentials", "s", client.unique)
        bus.crash()
        assert other.driver("GetConnectionCredentials", "s", client.unique) == before

    @pytest.mark.parametrize("at", [1, 20, 33])
    def test_half_a_handshake(self, bus: Bus, at: int) -> None:
        text = b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n"
        wire = Wire(bus.daemon.address)
        wire.send_bytes(text[:at])
        wire.wait_until_read()
        bus.crash()
        wire.send_bytes(text[at:])
        assert wire.read_line().startswith(b"OK ")
        wire.close()

    def test_a_client_that_leaves_meanwhile(self, bus: Bus) -> None:
        """Its names are released by the successor, which tells so."""
        watcher, leaving = bus.connect(), bus.connect()
        leaving.own(NAME)
        watcher.match(f"type='signal',member='NameOwnerChanged',arg0='{NAME}'")
        standby = bus.standby
        os.kill(standby, signal.SIGSTOP)
        os.kill(bus.pid, signal.SIGKILL)
        leaving.close()
        os.kill(standby, signal.SIGCONT)
        bus.reap()
        bus.pid = standby
        watcher.expect(member="NameOwnerChanged", body=(NAME, leaving.unique, ""))

    def test_environment(self, start_bus: StartBus, tmp_path: Path) -> None:
        """Variables of UpdateActivationEnvironment reach services that are started afterwards."""
        services = tmp_path / "services"
        services.mkdir()
        out = tmp_path / "out"
        (services / "a.service").write_text(
            f"[D-BUS Service]\nName=org.example.Started\nExec=/bin/sh -c 'echo $COLOUR >{out}; exit 1'\n"
        )
        bus = start_bus(extra=f"<servicedir>{services}</servicedir>")
        client = bus.connect()
        client.driver("UpdateActivationEnvironment", "a{ss}", {"COLOUR": "green"})
        client.sync()
        bus.crash()
        serial = client.start_call("org.example.Started", "Any")
        client.expect_error(serial, "org.freedesktop.DBus.Error.Spawn.ChildExited")
        assert out.read_text() == "green\n"


class TestMessages:
    def test_half_a_message(self, bus: Bus) -> None:
        """What was read of a message is not lost, short or long."""
        sender, receiver = bus.connect(), bus.connect()
        for size in (10, 1000, 100_000, 3_000_000):
            message = sender.message(
                Type.SIGNAL,
                "ay",
                b"x" * size,
                member="Long",
                interface="a.b",
                path="/",
                destination=receiver.unique,
            )
            data = message.encode()
            half = len(data) // 2
            sender.send_bytes(data[:half])
            sender.wait_until_read()
            bus.crash()
            sender.send_bytes(data[half:])
            assert len(receiver.take(member="Long").body[0]) == size

    def test_a_queue(self, bus: Bus) -> None:
        """A client that does not read gets all that was sent to it, the half-written message too."""
        sender, receiver = bus.connect(), bus.connect()
        for n in range(40):
            sender.signal("Big", "uay", n, b"y" * 200_000, destination=receiver.unique)
        sender.sync()
        bus.crash()
        for n in range(40):
            assert receiver.take(member="Big").body[0] == n

    def test_descriptors_in_a_queue(self, bus: Bus) -> None:
        sender, receiver = bus.connect(), bus.connect()
        for n in range(10):
            sender.signal("Big", "uay", n, b"y" * 200_000, destination=receiver.unique)
        fd = os.memfd_create("test")
        os.write(fd, b"content")
        sender.signal("Fd", "h", 0, destination=receiver.unique, fds=[fd])
        sender.sync()
        os.close(fd)
        bus.crash()
        message = receiver.take(member="Fd")
        assert os.pread(message.fds[0], 20, 0) == b"content"


class TestStandby:
    def test_memory(self, bus: Bus) -> None:
        """It has less than half a MiB of its own."""
        clients = [bus.connect() for _ in range(50)]
        for client in clients:
            client.match("type='signal'")
        text = Path(f"/proc/{bus.standby}/smaps_rollup").read_text()
        private = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))
        assert private < 512

    def test_another_one(self, bus: Bus) -> None:
        """The bus replaces a standby that was killed."""
        client = bus.connect()
        before = bus.standby
        os.kill(before, signal.SIGKILL)
        bus.wait_for("The standby has ended")
        assert bus.standby != before
        bus.crash()
        client.driver("GetId")

    def test_ignored(self, bus: Bus) -> None:
        """A signal that means nothing to a standby does not end it."""
        client = bus.connect()
        standby = bus.standby
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGQUIT):
            os.kill(standby, number)
        bus.crash()
        client.driver("GetId")
        assert bus.pid == standby

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_end(self, bus: Bus, number: signal.Signals) -> None:
        """What ends a bus in good order ends it, and then the standby, since to systemd this is the bus."""
        client = bus.connect()
        client.sync()
        standby = bus.standby
        os.kill(standby, number)
        assert bus.daemon.process.wait(DEADLINE) == (-number if number == signal.SIGINT else 0)
        client.expect_closed()
        assert command_name(standby) == ""

    def test_both(self, bus: Bus) -> None:
        """The bus ends in good order, too, if each of the two gets the signal, as by "systemctl stop"."""
        bus.connect().sync()
        standby = bus.standby
        os.kill(standby, signal.SIGTERM)
        assert bus.daemon.terminate() == 0
        assert command_name(standby) == ""

    def test_reload(self, bus: Bus) -> None:
        """SIGHUP reloads the configuration, as if the bus had got it, since to systemd this is the bus."""
        bus.connect().sync()
        for times in (1, 2):
            os.kill(bus.standby, signal.SIGHUP)
            bus.wait_for("Reloaded configuration", times)

    def test_the_end_of_the_bus(self, bus: Bus) -> None:
        """With a bus that ends in good order the standby ends, too."""
        standby = bus.standby
        assert bus.daemon.terminate() == 0
        assert command_name(standby) == ""


class TestDefault:
    def test_in_the_background(self, executable: str, tmp_path: Path) -> None:
        """A bus that forks has a standby unasked; after a crash the pid file has the new process."""
        pidfile, file = tmp_path / "pid", tmp_path / "bus.conf"
        directory = private_directory()
        listen = f"unix:path={directory}/bus"
        file.write_text(config(listen, extra=f"<pidfile>{pidfile}</pidfile>"))
        with adoption():
            command = [executable, "--fork", "--print-address", f"--config-file={file}"]
            address = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            client = Client(address)
            pid = int(pidfile.read_text())
            standby = standby_of(pid)
            os.kill(pid, signal.SIGKILL)
            client.driver("GetId")
            assert standby_of(standby)
            wait_until(lambda: pidfile.exists() and pidfile.read_text().strip() == str(standby))
            end_process(standby)
            assert not pidfile.exists()
            client.close()
        shutil.rmtree(directory)

    def test_in_the_foreground(self, start_bus: StartBus) -> None:
        """A parent waits for its end, so it ends."""
        bus = start_bus("--standby=auto")
        client = bus.connect()
        client.sync()
        assert [pid for pid in children(bus.pid) if command_name(pid) == STANDBY] == []
        os.kill(bus.pid, signal.SIGKILL)
        client.expect_closed()


class TestUpgrade:
    def test_a_crash_after_an_upgrade(self, bus: Bus) -> None:
        client = bus.connect()
        assert bus.standby
        client.reply_to(client.start_call(BUS, "Upgrade", interface="org.omnibus.Control1", path=BUS_PATH))
        bus.crash()
        client.driver("GetId")

    def test_an_upgrade_after_a_crash(self, bus: Bus) -> None:
        client = bus.connect()
        bus.crash()
        bus.wait()
        client.reply_to(client.start_call(BUS, "Upgrade", interface="org.omnibus.Control1", path=BUS_PATH))
        client.driver("GetId")
        bus.crash()
        client.driver("GetId")
