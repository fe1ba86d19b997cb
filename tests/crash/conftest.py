"""Buses that crash while clients are connected, and their standbys."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon, adoption, children, config, start
from support.raw import DEADLINE, Client

STANDBY = "omnibus-standby"


def command_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def wait_until(true: Callable[[], bool]) -> None:
    """Poll until it is true."""
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def standby_of(pid: int) -> int:
    """Return the standby of a bus, once there is one."""
    end = time.monotonic() + DEADLINE
    while True:
        for child in children(pid):
            if command_name(child) == STANDBY:
                return child
        assert time.monotonic() < end, f"{pid} has no standby"
        time.sleep(0.005)


class Bus:
    """A bus with a standby; ``pid`` is that of the present process."""

    def __init__(self, executable: str, *arguments: str, **settings: Any) -> None:
        text = settings.pop("text", None)
        # signals that dump core are sent to it
        shell = f"ulimit -c 0; {settings.pop('shell', '') or ':'}"
        text = text or config("unix:path={dir}/bus", **settings)
        self.daemon: Daemon = start(executable, text, arguments or ["--standby=on"], shell=shell)
        self.pid = self.daemon.pid
        self.crashed = 0

    def connect(self, **options: Any) -> Client:
        return self.daemon.connect(**options)

    @property
    def standby(self) -> int:
        """The pid of the standby, for which this waits."""
        return standby_of(self.pid)

    def crash(self, number: int = signal.SIGKILL, thread: int | None = None) -> None:
        """End the process of the bus by a signal, to one of its threads if given; the standby takes over."""
        standby = self.standby
        if thread is None:
            os.kill(self.pid, number)
        else:
            signal_thread(self.pid, thread, number)
        self.reap()
        self.pid = standby
        self.crashed += 1

    def reap(self) -> None:
        if self.pid == self.daemon.pid:
            self.daemon.process.wait(DEADLINE)
        else:
            os.waitpid(self.pid, 0)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until the bus has logged a text."""
        end = time.monotonic() + DEADLINE
        while self.daemon.stderr.count(text) < times:
            assert time.monotonic() < end, self.daemon.stderr
            time.sleep(0.02)

    def wait(self) -> None:
        """Wait until the bus serves again."""
        self.wait_for("The bus has crashed", self.crashed)

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        self.daemon.stop()


def signal_thread(pid: int, thread: int, number: int) -> None:
    """Send a signal to one thread (tgkill(2))."""
    import ctypes

    tgkill = 234  # x86-64
    if os.uname().machine == "aarch64":
        tgkill = 131
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(tgkill, pid, thread, number) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture(scope="session")
def executable(request: pytest.FixtureRequest) -> str:
    """The daemon under test."""
    return str(request.config.option.daemon)


class StartBus:
    def __init__(self, executable: str, stack: contextlib.ExitStack) -> None:
        self.executable = executable
        self.stack = stack

    def __call__(self, *arguments: str, **settings: Any) -> Bus:
        bus = Bus(self.executable, *arguments, **settings)
        self.stack.callback(bus.stop)
        return bus


@pytest.fixture
def start_bus(executable: str) -> Iterator[StartBus]:
    # The processes of a bus that has crashed are reparented to us.
    with adoption(), contextlib.ExitStack() as stack:
        yield StartBus(executable, stack)


@pytest.fixture
def bus(start_bus: StartBus) -> Bus:
    return start_bus()
