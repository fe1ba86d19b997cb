"""A bus for each test: a shared one that allows everything, or one of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import CommandLine
from support.daemon import OPEN_POLICY, STRICT_POLICY, Daemon, adoption, config, private_directory, start
from support.message import BIG, LITTLE
from support.raw import DEADLINE, Client

Connect = Callable[..., Client]
StartDaemon = Callable[..., Daemon]
ORDERS = pytest.mark.parametrize("order", [LITTLE, BIG], ids=["little", "big"])


@pytest.fixture(scope="session")
def executable(request: pytest.FixtureRequest) -> str:
    """Path of the daemon under test."""
    path = str(request.config.option.daemon)
    if not os.access(path, os.X_OK):
        pytest.fail(f"no daemon to test at {path}: build it with `make`, or use --daemon=reference")
    return path


@pytest.fixture
def start_daemon(executable: str) -> Iterator[StartDaemon]:
    """Start a daemon of the test's own, by default with the configuration of the shared bus."""
    with contextlib.ExitStack() as stack:

        def begin(text: str | None = None, *arguments: str, **options: Any) -> Daemon:
            if text is None and not any(one.startswith("--config-file") for one in arguments):
                text = config("unix:path={dir}/bus")
            daemon = start(executable, text, arguments, **options)
            stack.callback(daemon.stop)
            return daemon

        yield begin


@pytest.fixture
def limited(start_daemon: StartDaemon) -> StartDaemon:
    """Start a bus with some limits."""

    def begin(**limits: int) -> Daemon:
        return start_daemon(config("unix:path={dir}/bus", limits=limits))

    return begin


@pytest.fixture
def cli(executable: str) -> Iterator[CommandLine]:
    """A directory with a configuration from which daemons are started by hand."""
    found = CommandLine(executable)
    with adoption():
        yield found
        found.clean()


class SharedBus:
    """The bus that tests have in common; started again when a test has ended it."""

    def __init__(self, executable: str, policy: str) -> None:
        self.executable = executable
        self.policy = policy
        self.daemon: Daemon | None = None
        self.monitor: Client | None = None

    def running(self) -> Daemon:
        if self.daemon is None or self.daemon.process.poll() is not None:
            self.stop()
            self.daemon = start(self.executable, config("unix:path={dir}/bus", policy=self.policy))
            self.monitor = Client(self.daemon.address)
        return self.daemon

    def settle(self) -> None:
        """Wait until only our own connection is left on the bus."""
        assert self.daemon and self.monitor
        assert self.daemon.process.poll() is None, f"the daemon has ended: {self.daemon.stderr}"
        deadline = time.monotonic() + DEADLINE
        expected = ["org.freedesktop.DBus", self.monitor.unique]
        while (names := sorted(self.monitor.driver("ListNames"), reverse=True)) != sorted(
            expected, reverse=True
        ):
            assert time.monotonic() < deadline, f"names without an owner: {names}"

    def stop(self) -> None:
        if self.monitor:
            self.monitor.close()
        if self.daemon:
            self.daemon.stop()
        self.daemon = self.monitor = None

    def lend(self) -> Iterator[Daemon]:
        """Give the bus to a test, and take it back."""
        daemon = self.running()
        yield daemon
        daemon.close_clients()
        self.settle()


@pytest.fixture(scope="session")
def shared_bus(executable: str) -> Iterator[SharedBus]:
    shared = SharedBus(executable, OPEN_POLICY)
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
def shared_strict_bus(executable: str) -> Iterator[SharedBus]:
    shared = SharedBus(executable, STRICT_POLICY)
    yield shared
    shared.stop()


@pytest.fixture
def bus(shared_bus: SharedBus) -> Iterator[Daemon]:
    """A shared session bus that allows everything; the test's clients are closed, the bus keeps running."""
    yield from shared_bus.lend()


@pytest.fixture
def strict_bus(shared_strict_bus: SharedBus) -> Iterator[Daemon]:
    """A bus with a policy like that of a system bus: no eavesdropping, and no replies but those asked for."""
    yield from shared_strict_bus.lend()


@pytest.fixture
def connect(bus: Daemon) -> Connect:
    """Make clients of ``bus``."""
    return bus.connect


@pytest.fixture
def client(connect: Connect) -> Client:
    return connect()


@pytest.fixture
def other(connect: Connect) -> Client:
    return connect()


@pytest.fixture
def listener(connect: Connect) -> Client:
    """A client that receives all signals of the interface that tests use."""
    client = connect()
    client.match("type='signal',interface='org.example.Interface'")
    return client


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that other users can enter."""
    path = private_directory()
    yield path
    shutil.rmtree(path)


_numbers = itertools.count(1)


@pytest.fixture
def name() -> str:
    """A well-known name that no other test uses."""
    return f"org.example.Name{next(_numbers)}"


@pytest.fixture
def name2() -> str:
    """A second unused well-known name."""
    return f"org.example.Name{next(_numbers)}"


@pytest.fixture(scope="session")
def unprivileged() -> int:
    """The uid of an unprivileged user."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to change the uid")
    return 65534


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: the end to read from and the end to write to."""
    ends = os.pipe2(os.O_CLOEXEC)
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)
