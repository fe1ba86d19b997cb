"""A restart by the service manager: what a bus leaves with it, and the process that goes on with that.

The manager is a socket here, and passes what it was left; tests/systemd_boot has the real one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from omnibus.daemon.upgrade import carrier
from omnibus.daemon.upgrade.program import CLIENTS
from support.daemon import Daemon, config, private_directory, start
from support.message import Type
from support.raw import DEADLINE, BusError, Client

NAME = "org.example.Service"
ADDRESS = "--address=systemd:"
HIGH = 200  # descriptors from there on are not in the way


class Manager:
    """A unit with a socket, whose processes may leave one descriptor (FileDescriptorStoreMax=1)."""

    def __init__(self, executable: str) -> None:
        self.executable = executable
        self.directory = private_directory()
        self.keeps = True
        self.stored: int | None = None
        self.said: list[str] = []
        self.listener = self._listen("bus")
        self.text = config("unix:path=/nonexistent")
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(str(self.directory / "notify"))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self._daemons: list[Daemon] = []

    def _listen(self, name: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.directory / name))
        listener.listen(128)
        return listener

    def listen_anew(self) -> None:
        """Restart the unit of the socket."""
        self.listener.close()
        (self.directory / "bus").unlink()
        self.listener = self._listen("bus")

    def _read(self) -> None:
        while True:
            data, fds, *_ = socket.recv_fds(self._notifications, 4096, 4)
            if not data:
                return
            lines = data.decode().splitlines()
            if "FDSTOREREMOVE=1" in lines:
                self.drop()
            if "FDSTORE=1" in lines and self.keeps and self.stored is None:
                assert f"FDNAME={CLIENTS}" in lines
                assert "FDPOLL=0" in lines
                self.stored = fds.pop()
            carrier.close(fds)
            self.said += lines

    def drop(self) -> None:
        """Close what was left, as after a stop."""
        stored, self.stored = self.stored, None
        if stored is not None:
            os.close(stored)

    @property
    def daemon(self) -> Daemon:
        return self._daemons[-1]

    def start(self, *arguments: str) -> Daemon:
        passed = [fcntl.fcntl(self.listener, fcntl.F_DUPFD_CLOEXEC, HIGH)]
        if self.stored is not None:
            passed.append(fcntl.fcntl(self.stored, fcntl.F_DUPFD_CLOEXEC, HIGH))
        names = ":".join(["dbus.socket", CLIENTS][: len(passed)])
        moves = " ".join(f"{3 + n}<&{fd}-" for n, fd in enumerate(passed))
        variables = f"LISTEN_PID=$$ LISTEN_FDS={len(passed)} LISTEN_FDNAMES={names}"
        self._daemons.append(
            start(
                self.executable,
                self.text,
                [ADDRESS, *arguments],
                directory=Path(os.path.join(self.directory, str(len(self._daemons)))),
                shell=f"exec {moves}; export {variables} NOTIFY_SOCKET={self.directory}/notify",
                pass_fds=passed,
            )
        )
        carrier.close(passed)
        return self.daemon

    def stop(self) -> None:
        assert self.daemon.terminate() == 0

    def restart(self, *arguments: str) -> None:
        self.stop()
        self.start(*arguments)

    def wait_for(self, text: str) -> None:
        """Wait until the present process has logged a text."""
        end = time.monotonic() + DEADLINE
        while text not in self.daemon.stderr:
            assert time.monotonic() < end, self.daemon.stderr
            time.sleep(0.02)

    def connect(self) -> Client:
        return self._daemons[0].connect()

    def close(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.stop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.directory / "notify"))
        self._thread.join()
        self._notifications.close()
        self.listener.close()
        self.drop()


@pytest.fixture
def manager(request: pytest.FixtureRequest) -> Iterator[Manager]:
    manager = Manager(str(request.config.option.daemon))
    for n in range(4):
        (manager.directory / str(n)).mkdir()
    yield manager
    manager.close()


@pytest.fixture
def started(manager: Manager) -> Manager:
    manager.start()
    return manager


class TestClients:
    def test_nothing_is_to_be_seen(self, started: Manager) -> None:
        """Connections, names, queues, rules and pending calls go on in another process."""
        caller, service, waiting, watcher = (started.connect() for _ in range(4))
        watcher.match("type='signal',sender='org.freedesktop.DBus'")
        watcher.match("type='signal',interface='org.example',arg0='x'")
        service.own(NAME)
        waiting.own(NAME)
        serial = caller.start_call(NAME, "Slow", "u", 7)
        call = service.take(type=Type.METHOD_CALL)
        names = sorted(caller.driver("ListNames"))
        watcher.sync()
        watcher.inbox.clear()
        started.restart()
        assert sorted(caller.driver("ListNames")) == names
        assert caller.driver("ListQueuedOwners", "s", NAME) == [service.unique, waiting.unique]
        service.reply(call, "u", 8)
        assert caller.reply_to(serial).body == (8,)
        watcher.expect_nothing(caller)
        service.signal("Tick", "s", "x", interface="org.example")
        watcher.expect(member="Tick", body=("x",))
        started.wait_for("Restarted from omnibus")

    def test_while_no_process_runs(self, started: Manager) -> None:
        """What clients send waits in their sockets, and those that connect at the listening socket."""
        sender, receiver = started.connect(), started.connect()
        started.stop()
        sender.signal("Late", "u", 1, destination=receiver.unique)
        fd = os.memfd_create("test")
        os.write(fd, b"content")
        sender.signal("Fd", "h", 0, destination=receiver.unique, fds=[fd])
        os.close(fd)
        started.start()
        receiver.expect(member="Late", body=(1,))
        assert os.pread(receiver.take(member="Fd").fds[0], 20, 0) == b"content"
        new = started.connect()
        assert int(new.unique.partition(".")[2]) > int(receiver.unique.partition(".")[2])

    def test_half_a_message(self, started: Manager) -> None:
        sender, receiver = started.connect(), started.connect()
        message = sender.message(
            Type.SIGNAL,
            "ay",
            b"x" * 100_000,
            member="Long",
            interface="a.b",
            path="/",
            destination=receiver.unique,
        )
        data = message.encode()
        sender.send_bytes(data[:50_000])
        sender.wait_until_read()
        started.restart()
        sender.send_bytes(data[50_000:])
        assert len(receiver.take(member="Long").body[0]) == 100_000

    def test_again_and_again(self, started: Manager) -> None:
        client = started.connect()
        client.own(NAME)
        for _ in range(3):
            started.restart()
            assert client.driver("GetNameOwner", "s", NAME) == client.unique

    def test_with_a_standby(self, manager: Manager) -> None:
        """It ends with the bus that leaves, and the next bus has one of its own."""
        manager.start("--standby=on")
        client = manager.connect()
        client.sync()
        manager.restart("--standby=on")
        manager.wait_for("Restarted from omnibus")
        client.driver("GetId")
        manager.restart("--standby=on")
        client.driver("GetId")

    def test_many(self, started: Manager) -> None:
        """More than a message to the manager could have."""
        clients = [started.connect() for _ in range(300)]
        started.restart()
        for client in clients:
            client.driver("GetId")

    def test_configuration(self, started: Manager) -> None:
        """It is that of the new start."""
        client = started.connect()
        started.text = config("unix:path=/nonexistent", limits={"max_names_per_connection": 1})
        started.restart()
        started.wait_for("Restarted from omnibus")
        # The control plane answers, so the data plane has handled all that it was told before.
        client.driver("UpdateActivationEnvironment", "a{ss}", {})
        with pytest.raises(BusError, match="max_names_per_connection=1"):
            client.driver("RequestName", "su", NAME, 0)

    def test_upgrade_afterwards(self, started: Manager) -> None:
        client = started.connect()
        started.restart()
        started.wait_for("Restarted from omnibus")
        os.kill(started.daemon.pid, signal.SIGUSR2)
        started.wait_for("Upgraded from omnibus")
        client.driver("GetId")


class TestManager:
    """What it is told, and has to keep."""

    def test_one_descriptor(self, started: Manager) -> None:
        """It is taken back by the process that goes on."""
        client = started.connect()
        started.stop()
        assert started.stored is not None
        assert started.said.index("STOPPING=1") < started.said.index("FDSTORE=1")
        started.start()
        client.driver("GetId")
        assert started.stored is None

    def test_stop(self, started: Manager) -> None:
        """Clients lose their connections when the manager closes what was left."""
        client = started.connect()
        started.stop()
        started.drop()
        client.expect_closed()

    def test_no_room(self, started: Manager) -> None:
        """A unit without FileDescriptorStoreMax= ends as ever."""
        started.keeps = False
        client = started.connect()
        started.stop()
        client.expect_closed()
        started.start()
        assert "Clients are disconnected" not in started.daemon.stderr
        started.daemon.connect().driver("GetId")

    def test_interrupt(self, started: Manager) -> None:
        """Only SIGTERM is what the manager ends a unit with."""
        client = started.connect()
        started.daemon.process.send_signal(signal.SIGINT)
        assert started.daemon.process.wait(DEADLINE) == -signal.SIGINT
        client.expect_closed()

    def test_sockets_of_its_own(self, request: pytest.FixtureRequest, manager: Manager) -> None:
        """A bus that listens by itself can't listen again while the manager has its sockets."""
        manager.text = config("unix:path={dir}/own")
        daemon = start(
            manager.executable,
            manager.text,
            directory=manager.directory / "0",
            shell=f"export NOTIFY_SOCKET={manager.directory}/notify",
        )
        client = daemon.connect()
        assert daemon.terminate() == 0
        client.expect_closed()
        assert "FDSTORE=1" not in manager.said
        daemon.stop()


class TestRefusals:
    """What can't be gone on with is told, closed, and leaves a bus as after any start."""

    def replace(self, manager: Manager, change: Any) -> None:
        """Change the list of descriptors that was left, the state first."""
        assert manager.stored is not None
        with socket.socket(fileno=manager.stored) as sock:
            fds = carrier.take(sock) + carrier.take_rest(sock)
        changed = change(fds)
        manager.stored = carrier.fill(changed).detach()
        carrier.close(sorted({*fds, *changed}))

    def refuses(self, manager: Manager, client: Client) -> None:
        manager.start()
        client.expect_closed()
        manager.daemon.connect().driver("GetId")
        assert "Clients are disconnected: " in manager.daemon.stderr
        manager.restart()  # which goes on with those that came since
        manager.wait_for("Restarted from omnibus")

    @staticmethod
    def unsealed(fds: Sequence[int]) -> list[int]:
        copy = os.memfd_create("omnibus-state", os.MFD_ALLOW_SEALING)
        os.write(copy, os.pread(fds[0], os.fstat(fds[0]).st_size, 0))
        return [copy, *fds[1:]]

    @pytest.mark.parametrize(
        "change",
        [
            lambda fds: [],
            lambda fds: TestRefusals.unsealed(fds),
            lambda fds: fds[:-1],
            lambda fds: fds[1:],
            lambda fds: [*fds, fds[1]],
        ],
        ids=["nothing", "not sealed", "one too few", "no state", "one too many"],
    )
    def test_damaged(self, started: Manager, change: Any) -> None:
        client = started.connect()
        started.stop()
        self.replace(started, change)
        self.refuses(started, client)

    def test_what_is_no_socket(self, started: Manager) -> None:
        client = started.connect()
        started.stop()
        started.drop()
        started.stored = os.memfd_create("file")
        self.refuses(started, client)

    def test_another_socket(self, started: Manager) -> None:
        """The unit of the socket was restarted, too: no client would reach the old one."""
        client = started.connect()
        started.stop()
        started.listen_anew()
        self.refuses(started, client)

    def test_descriptors_that_are_other_files(self, started: Manager) -> None:
        """The program that was executed ends then, and the next start is one without clients."""
        client = started.connect()
        started.stop()
        self.replace(started, lambda fds: [fds[0], *reversed(fds[1:])])
        started.start()
        assert started.daemon.process.wait(DEADLINE) == 1
        client.expect_closed()
        started.start()
        started.daemon.connect().driver("GetId")


class TestCarrier:
    @pytest.mark.parametrize("n", [0, 1, 2, 253, 254, 255, 1000])
    def test_all_come_back(self, n: int) -> None:
        """In their order, the first one alone."""
        files = [os.memfd_create(str(number)) for number in range(n)]
        with contextlib.closing(carrier.fill(files)) as sock:
            carrier.close(files)
            found = [*carrier.take(sock), *carrier.take_rest(sock)]
        assert [os.readlink(f"/proc/self/fd/{fd}") for fd in found] == [
            f"/memfd:{number} (deleted)" for number in range(n)
        ]
        assert not any(map(os.get_inheritable, found))
        carrier.close(found)

    def test_too_few_descriptors(self) -> None:
        """What can't be taken whole is closed."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        file = os.memfd_create("one")
        before = len(os.listdir("/proc/self/fd"))
        with contextlib.closing(carrier.fill([file] * 600)) as sock:
            carrier.close(carrier.take(sock))
            resource.setrlimit(resource.RLIMIT_NOFILE, (before + 300, hard))
            try:
                with pytest.raises(OSError, match="Too many open files"):
                    carrier.take_rest(sock)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(os.listdir("/proc/self/fd")) == before
        os.close(file)

    def test_a_closed_descriptor(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="Bad file descriptor"):
            carrier.fill([2**20])
        assert len(os.listdir("/proc/self/fd")) == before
