"""What omnibus-takeover refuses: always with the reason, and with the daemon as it was."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.daemon import DEADLINE, config, private_directory, start
from support.machine import wait_until
from support.message import Message, Type
from support.raw import BUS, BUS_PATH, Client, Closed, Wire

from .conftest import REFERENCE, STATS, Bus, StartBus, hold_up

NAME = "org.example.Service"
OTHER_USER = 65534
SECOND_THREAD = """
#include <pthread.h>
#include <unistd.h>
static void *wait_for_ever(void *none) { for (;;) pause(); return none; }
static void __attribute__((constructor)) begin(void)
{ pthread_t thread; pthread_create(&thread, NULL, wait_for_ever, NULL); }
"""


@pytest.fixture
def script(bus: Bus) -> Path:
    """The path of a program that a test writes, which only root can change."""
    return bus.daemon.directory / "program"


def write_script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return str(path)


class TestCaller:
    def test_usage(self, tool: Path) -> None:
        for arguments in ([], ["1", "2"], ["0"], ["-1"], ["--system", "1"], ["--user=x"], ["1x"], ["--no"]):
            ran = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
            assert ran.returncode == 2, arguments
            assert ran.stderr.count("usage: omnibus-takeover") == 1

    def test_not_root(self, bus: Bus) -> None:
        """Even the user of the bus may not: what it is given is executed with the bus's rights."""
        reason = bus.refuses(user=OTHER_USER, group=OTHER_USER, extra_groups=[])
        assert "Only root can take over a bus" in reason


class TestProgramOfTheBus:
    def test_other_program(self, tool: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root")
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            ran = subprocess.run([tool, str(other.pid)], capture_output=True, text=True, check=False)
            assert ran.returncode == 1
            assert "and not dbus-daemon" in ran.stderr
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()
            assert other.stdin is not None
            other.stdin.close()

    def test_no_process(self, bus: Bus) -> None:
        ran = subprocess.run([bus.tool, str(2**22 + 1)], capture_output=True, text=True, check=False)
        assert ran.returncode == 1
        assert "No such process" in ran.stderr or "Invalid argument" in ran.stderr

    def test_traced_already(self, bus: Bus) -> None:
        first = hold_up(bus)
        ran = bus.run(patience="1")
        assert ran.returncode == 1
        assert "traced already" in ran.stderr
        first.kill()
        first.communicate()

    def test_several_threads(self, start_bus: StartBus, tmp_path: Path) -> None:
        """Only the one that is traced would be held."""
        library = tmp_path / "thread.so"
        build = ["gcc", "-shared", "-fPIC", "-pthread", "-o", str(library), "-x", "c", "-"]
        subprocess.run(build, input=SECOND_THREAD, text=True, check=True)
        bus = start_bus(options={"env": {"LD_PRELOAD": str(library), "PATH": os.environ["PATH"]}})
        assert "It has 2 threads; a dbus-daemon has one" in bus.refuses()

    def test_omnibusd(self, bus: Bus) -> None:
        bus.take_over()
        ran = bus.run()
        assert ran.returncode == 1
        assert "and not dbus-daemon" in ran.stderr

    def test_socket_that_leads_to_another_bus(self, bus: Bus) -> None:
        """As the path of one in a container does."""
        directory = bus.daemon.directory
        (directory / "bus").rename(directory / "old")
        other = start(REFERENCE, None, [f"--config-file={directory}/bus.conf"], directory=private_directory())
        try:
            ran = bus.run("--force", patience="1")
            assert ran.returncode == 1
            assert "leads to another bus" in ran.stderr
        finally:
            other.stop()
        (directory / "old").rename(directory / "bus")
        bus.take_over()

    def test_without_statistics(self, start_bus: StartBus) -> None:
        """Match rules can't be had then."""
        denied = f'<deny send_destination="{BUS}" send_interface="{STATS}"/>'
        bus = start_bus(extra=f'<policy context="mandatory">{denied}</policy>')
        assert "GetAllMatchRules of org.freedesktop.DBus.Debug.Stats" in bus.refuses()


class TestProgramToExecute:
    """It gets the rights of the bus: only root and the bus's user may be able to change it."""

    @pytest.mark.parametrize("mode", [0o757, 0o775])
    def test_writable(self, bus: Bus, script: Path, mode: int) -> None:
        program = write_script(script, "exit 1", mode)
        os.chown(program, 0, OTHER_USER)
        assert "others than root and the user of the bus can write to it" in bus.refuses(program=program)

    def test_owner(self, bus: Bus, script: Path) -> None:
        program = write_script(script, "exit 1")
        os.chown(program, OTHER_USER, 0)
        assert "belongs neither to root nor to the user of the bus" in bus.refuses(program=program)

    def test_directory(self, bus: Bus, script: Path) -> None:
        directory = bus.daemon.directory / "open"
        directory.mkdir()
        directory.chmod(0o777)
        program = write_script(directory / "program", "exit 1")
        assert "others than root" in bus.refuses(program=program)
        directory.chmod(0o1777)  # entries of such a directory are their owners'
        assert "others than root" not in bus.refuses(program=program)

    def test_link(self, bus: Bus, script: Path) -> None:
        """Each link on the way counts, and what it leads to."""
        write_script(script, "exit 1", 0o757)
        link = script.with_name("link")
        link.symlink_to(script.name)
        assert "others than root" in bus.refuses(program=str(link))
        loop = script.with_name("loop")
        loop.symlink_to(loop)
        assert "too many links" in bus.refuses(program=str(loop))

    def test_missing(self, bus: Bus, script: Path) -> None:
        assert "No such file or directory" in bus.refuses(program=str(script))
        assert "not an absolute path" in bus.refuses(program="omnibusd")
        assert "not a program" in bus.refuses(program=str(script.parent))

    def test_program_that_fails(self, bus: Bus, script: Path) -> None:
        program = write_script(script, "echo It does not work.; exit 1")
        assert "It does not work." in bus.refuses(program=program)

    def test_program_that_writes_no_state(self, bus: Bus, script: Path) -> None:
        assert "has written no state" in bus.refuses(program=write_script(script, "exit 0"))

    def test_program_that_writes_nonsense(self, bus: Bus, script: Path) -> None:
        program = write_script(script, "echo OMNISTAT and more of that >&3")
        assert "The state of omnibusd: " in bus.refuses(program=program)

    def test_rehearsal_that_fails(self, bus: Bus, script: Path) -> None:
        program = write_script(
            script, f'[ "$1" = --rehearse ] && echo No. && exit 1\nexec {bus.program} "$@"'
        )
        assert "omnibusd can't go on with this bus: No." in bus.refuses(program=program, patience="20")

    def test_configuration_that_is_broken_now(self, bus: Bus) -> None:
        bus.daemon.directory.joinpath("bus.conf").write_text("<busconfig>")
        assert "omnibusd can't go on with this bus: " in bus.refuses()


class TestConnections:
    """What can't be carried is named; it may pass, and with --force it is ended."""

    def check(self, bus: Bus, reason: str) -> None:
        stderr = bus.refuses()
        assert reason in stderr
        assert f"pid={os.getpid()}" in stderr
        assert "--force would end these connections" in stderr
        out = bus.take_over("--force")
        assert reason in out

    def test_monitor(self, bus: Bus) -> None:
        monitor = bus.connect()
        monitor.driver("BecomeMonitor", "asu", [], 0, interface="org.freedesktop.DBus.Monitoring")
        monitor.unique = ""
        self.check(bus, "monitor")
        with pytest.raises(Closed):
            while True:
                monitor.receive()

    def test_half_authenticated(self, bus: Bus) -> None:
        with contextlib.closing(Wire(bus.daemon.address)) as wire:
            wire.send_bytes(b"\0AUTH EXTERNAL ")
            wire.wait_until_read()
            self.check(bus, "has not said Hello")
            wire.expect_closed()

    def test_client_that_does_not_read(self, bus: Bus) -> None:
        """Others see it leave, as with any that is disconnected."""
        slow, sender, watcher = bus.connect(), bus.connect(), bus.connect()
        watcher.match(f"type='signal',member='NameOwnerChanged',arg0='{slow.unique}'")
        unique, slow.unique = slow.unique, ""
        for _ in range(40):
            sender.signal("Long", "s", "x" * 100_000, destination=unique)
        sender.sync()
        self.check(bus, "does not read")
        watcher.take(member="NameOwnerChanged", body=(unique, unique, ""))

    def test_half_message_from_before(self, bus: Bus) -> None:
        """Its beginning was not seen, and so its end can't be known."""
        client = bus.connect()
        message = client.message(Type.SIGNAL, "s", "x" * 5000, path="/", interface="a.b", member="M").encode()
        client.send_bytes(message[:3000])
        client.wait_until_read()
        process = hold_up(bus)
        client.send_bytes(message[3000:-10])
        client.wait_until_read()
        assert bus.blocker is not None
        bus.blocker.close()
        process.terminate()
        process.communicate()
        client.send_bytes(message[-10:])
        client.sync()

    def test_descriptors_of_a_half_message(self, bus: Bus) -> None:
        client, receiver = bus.connect(), bus.connect()
        process = hold_up(bus, "--dry-run")
        client.sync()
        reading, writing = os.pipe()
        message = client.message(
            Type.SIGNAL,
            "h",
            0,
            path="/",
            interface="a.b",
            member="Fd",
            destination=receiver.unique,
            fds=[writing],
        ).encode()
        client.send_bytes(message[:50], [writing])
        client.wait_until_read()
        assert bus.blocker is not None
        bus.blocker.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=3)
        client.send_bytes(message[50:])
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, out + err
        receiver.take(member="Fd")
        for fd in (reading, writing):
            os.close(fd)

    def test_tcp(self, start_bus: StartBus) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        text = config(f"tcp:host=127.0.0.1,port={port}", "unix:path={dir}/bus")
        assert "is a TCP socket" in start_bus(text=text).refuses()

    def test_program_that_is_being_started(self, start_bus: StartBus, tmp_path: Path) -> None:
        """Who waits for it is known to the daemon alone."""
        (tmp_path / "slow.service").write_text(
            f'[D-BUS Service]\nName={NAME}\nExec=/bin/sh -c "read line <{tmp_path}/wait; exit 1"\n'
        )
        os.mkfifo(tmp_path / "wait")
        bus = start_bus(extra=f"<servicedir>{tmp_path}</servicedir>")
        client = bus.connect()
        pipes = bus.pipes
        serial = client.start_call(BUS, "StartServiceByName", "su", NAME, 0, interface=BUS, path=BUS_PATH)
        with (tmp_path / "wait").open("w") as fifo:  # it runs
            wait_until(lambda: bus.pipes == pipes, "the daemon knows: its pipe for errors is closed")
            assert "The daemon is starting a program" in bus.refuses()
            fifo.write("\n")
        client.expect_error(serial, "org.freedesktop.DBus.Error.Spawn.ChildExited")
        bus.take_over()


class Systemd:
    """A service manager that has these jobs, until the end of the test."""

    def __init__(self, client: Client, answer: Callable[[Client, Message], object]) -> None:
        client.own("org.freedesktop.systemd1")
        client.deadline = 0.2
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(client, answer))
        self.thread.start()

    def run(self, client: Client, answer: Callable[[Client, Message], object]) -> None:
        while not self.ended.is_set():
            with contextlib.suppress(TimeoutError):
                call = client.receive()
                if call.member == "ListJobs":
                    answer(client, call)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
        self.thread.join()


class TestJobs:
    """The daemon asks systemd to start units, and remembers who waits for them."""

    @staticmethod
    def jobs(kind: str) -> Callable[[Client, Message], object]:
        job = (7, "some.service", kind, "running", "/job/7", "/unit/some")
        return lambda client, call: client.reply(call, "a(usssoo)", [job])

    def test_start(self, bus: Bus) -> None:
        for kind in ("start", "restart"):
            with Systemd(bus.connect(), self.jobs(kind)):
                assert "systemd is starting some.service" in bus.refuses()
            bus.daemon.close_clients()

    def test_stop(self, bus: Bus) -> None:
        with Systemd(bus.connect(), self.jobs("stop")):
            assert bus.run().returncode == 0

    def test_unexpected_answer(self, bus: Bus) -> None:
        with Systemd(bus.connect(), lambda client, call: client.reply(call, "s", "none")):
            assert "systemd: an unexpected answer" in bus.refuses()

    def test_no_answer(self, bus: Bus) -> None:
        with Systemd(bus.connect(), lambda client, call: None):
            assert "systemd does not say what it is starting" in bus.refuses()

    def test_systemd_that_tells_nothing(self, bus: Bus) -> None:
        denied = "org.freedesktop.DBus.Error.AccessDenied"
        with Systemd(bus.connect(), lambda client, call: client.error(call, denied)):
            assert bus.run().returncode == 0


class TestFaults:
    """A call that fails while the daemon is held: it goes on with what it was about to do."""

    # mmap, memfd_create, fcntl of the memfd, the listener and three clients; munmap may fail; mmap, execve.
    @pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 9, 10])
    def test_each_call(self, bus: Bus, number: int) -> None:
        clients = [bus.connect() for _ in range(2)]
        clients[0].own(NAME)
        assert "dbus-daemon goes on" in bus.refuses(f"--fault={number}", patience="20")
        serial = clients[1].start_call(NAME, "Echo")
        clients[0].reply(clients[0].take(member="Echo"))
        clients[1].reply_to(serial)

    def test_takeover_afterwards(self, bus: Bus) -> None:
        client = bus.connect()
        for number in (3, 9):
            bus.refuses(f"--fault={number}", patience="20")
        bus.take_over()
        assert client.driver("GetNameOwner", "s", client.unique) == client.unique

    def test_killed(self, bus: Bus) -> None:
        """The kernel lets the daemon go."""
        client = bus.connect()
        before = bus.facts()
        process = hold_up(bus)
        client.driver("GetId")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert bus.blocker is not None
        bus.blocker.close()
        client.sync()
        assert bus.facts()["status"] == before["status"]
        assert not bus.is_omnibus

    def test_stopped_daemon(self, bus: Bus) -> None:
        """Job control has stopped it: it does not answer, and stays stopped."""
        os.kill(bus.pid, signal.SIGSTOP)
        try:
            ran = bus.run(patience="1")
            assert ran.returncode == 1
            status = Path(f"/proc/{bus.pid}/status").read_text()
            assert "State:\tT" in status
            assert "TracerPid:\t0\n" in status
        finally:
            os.kill(bus.pid, signal.SIGCONT)
        bus.take_over()

    def test_dry_run(self, bus: Bus) -> None:
        before = bus.facts()
        ran = bus.run("--dry-run")
        assert ran.returncode == 0
        assert f"Process {bus.pid} can be taken over: 1 connections" in ran.stdout
        assert bus.facts() == before
        assert not bus.is_omnibus
