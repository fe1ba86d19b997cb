"""sd_notify(3), with a socket in the place of the service manager."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnibus.systemd import notify
from omnibus.systemd.notify import Notifier


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.settimeout(20)
        yield one


@pytest.fixture
def notifier(manager: socket.socket, tmp_path: Path) -> Iterator[Notifier]:
    manager.bind(str(tmp_path / "notify"))
    one = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    yield one
    one.close()


def hear(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def test_ready(manager, notifier):
    notifier.ready()
    assert hear(manager) == "READY=1"


def test_ready_with_status(manager, notifier):
    notifier.ready("serving\nunix:path=/tmp/bus")
    assert hear(manager) == "READY=1\nSTATUS=serving unix:path=/tmp/bus"


def test_reloading(manager, notifier):
    """RELOADING=1 contains the time at which the reload began, for Type=notify-reload."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = hear(manager).splitlines()
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= after


def test_main_process(manager, notifier):
    """sd_notify(3): MAINPID= changes the main process of the unit."""
    notifier.main_process(4711)
    assert hear(manager) == "MAINPID=4711"


def test_main_process_is_known(manager, notifier):
    """sd_notify_barrier(3): the manager closes a descriptor when it has handled what came before."""
    waiting = threading.Thread(target=notifier.main_process, args=(4711,), kwargs={"wait": True})
    waiting.start()
    assert hear(manager) == "MAINPID=4711"
    text, (fd,), *_ = socket.recv_fds(manager, 4096, 1)
    assert text == b"BARRIER=1"
    assert waiting.is_alive()
    os.close(fd)
    waiting.join(20)
    assert not waiting.is_alive()


def test_manager_that_takes_no_descriptors(tmp_path):
    """Its end is not waited for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "gone"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.main_process(4711, wait=True)
    notifier.close()


def test_descriptor_that_is_left(manager, notifier, tmp_path):
    """FDSTORE=1 replaces what has the name, and the manager has it when the call returns."""
    with (tmp_path / "file").open("w+") as file:
        file.write("content")
        file.flush()
        waiting = threading.Thread(target=notifier.store, args=(file.fileno(), "clients"))
        waiting.start()
        assert hear(manager) == "FDSTOREREMOVE=1\nFDNAME=clients"
        text, (stored,), *_ = socket.recv_fds(manager, 4096, 1)
        assert text == b"FDSTORE=1\nFDNAME=clients\nFDPOLL=0"
        text, (barrier,), *_ = socket.recv_fds(manager, 4096, 1)
        assert text == b"BARRIER=1"
        assert waiting.is_alive()
        os.close(barrier)
        waiting.join(20)
        assert not waiting.is_alive()
    assert os.pread(stored, 20, 0) == b"content"
    os.close(stored)


def test_descriptor_that_is_taken_back(manager, notifier):
    notifier.forget("clients")
    assert hear(manager) == "FDSTOREREMOVE=1\nFDNAME=clients"


def test_descriptor_without_a_manager(tmp_path):
    """Nothing is left, and nothing waits."""
    for name in ("", str(tmp_path / "gone")):
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.store(0, "clients")
        notifier.close()


def test_is_on(notifier):
    assert notifier.is_on
    assert not Notifier({}).is_on


def test_stopping(manager, notifier):
    notifier.stopping()
    assert hear(manager) == "STOPPING=1"


def test_status(manager, notifier):
    notifier.status("three clients")
    assert hear(manager) == "STATUS=three clients"


def test_watchdog(manager, notifier):
    notifier.watchdog()
    assert hear(manager) == "WATCHDOG=1"


def test_abstract(manager):
    """A name that begins with @ is in the abstract namespace."""
    name = f"omnibus-{os.urandom(8).hex()}"
    manager.bind(b"\0" + name.encode())
    notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
    notifier.ready()
    notifier.close()
    assert hear(manager) == "READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_no_manager(environment):
    """Without a service manager nothing is sent."""
    notifier = Notifier(environment)
    notifier.ready()
    notifier.status("")
    notifier.close()
    assert notifier.watchdog_interval is None


@pytest.mark.parametrize("name", ["/nonexistent/notify", "/" + "x" * 200])
def test_manager_not_there(name):
    """A service manager that can't be reached is no error."""
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.close()


def test_manager_does_not_read(manager, tmp_path, monkeypatch):
    """A service manager that does not read delays the daemon only briefly; further messages are dropped."""
    assert notify.PATIENCE <= 1
    monkeypatch.setattr(notify, "PATIENCE", 0.01)
    manager.bind(str(tmp_path / "notify"))
    sent = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
        try:
            while True:
                other.sendto(b"noise", str(tmp_path / "notify"))
                sent += 1
        except BlockingIOError:
            pass
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    notifier.ready()
    notifier.close()
    assert {manager.recv(16) for _ in range(sent)} == {b"noise"}
    manager.settimeout(0)
    with pytest.raises(BlockingIOError):
        manager.recv(16)


def test_closed(manager, notifier):
    notifier.close()
    notifier.ready()
    manager.settimeout(0)
    with pytest.raises(BlockingIOError):
        manager.recv(16)


class TestWatchdogInterval:
    """A third of the time after which the service manager would kill the service, in seconds."""

    def interval(self, **environment: str) -> float | None:
        notifier = Notifier({"NOTIFY_SOCKET": "/nonexistent", **environment})
        notifier.close()
        return notifier.watchdog_interval

    def test_for_this_process(self):
        assert self.interval(WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid())) == 10.0

    def test_for_any_process(self):
        assert self.interval(WATCHDOG_USEC="600000") == 0.2

    def test_for_another(self):
        assert self.interval(WATCHDOG_USEC="30000000", WATCHDOG_PID="1") is None

    @pytest.mark.parametrize("value", ["", "0", "soon", "-1"])
    def test_none(self, value):
        assert self.interval(WATCHDOG_USEC=value) is None


def test_status_that_is_not_utf8(manager, notifier):
    notifier.status("/etc/\udce9.conf")
    assert hear(manager) == "STATUS=/etc/\\udce9.conf"
