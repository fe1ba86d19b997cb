"""sd_notify(3): what the bus reports to the service manager that started it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from support.daemon import Daemon, config, private_directory
from support.raw import DEADLINE

from .conftest import StartDaemon


class Manager:
    """A service manager's end of the socket, and the daemon that it has started."""

    def __init__(self, start_daemon: StartDaemon) -> None:
        directory = private_directory()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(directory / "notify"))
        self.socket.settimeout(DEADLINE)
        self.daemon: Daemon = start_daemon(
            config("unix:path={dir}/bus"),
            directory=directory,
            env={"NOTIFY_SOCKET": str(directory / "notify")},
        )

    def hear(self) -> dict[str, str]:
        """Return the next message."""
        text = self.socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.splitlines())


@pytest.fixture
def manager(start_daemon: StartDaemon) -> Iterator[Manager]:
    found = Manager(start_daemon)
    yield found
    found.socket.close()


class TestNotify:
    def test_ready(self, manager: Manager) -> None:
        """READY=1 when clients can connect."""
        assert manager.hear()["READY"] == "1"
        assert manager.daemon.connect().driver("GetId")

    def test_reload(self, manager: Manager) -> None:
        """RELOADING=1 when a reload begins, READY=1 when it is over."""
        manager.hear()
        manager.daemon.connect().driver("ReloadConfig")
        assert manager.hear()["RELOADING"] == "1"
        assert manager.hear()["READY"] == "1"

    def test_end(self, manager: Manager) -> None:
        """STOPPING=1 when the bus begins to end."""
        manager.hear()
        assert manager.daemon.terminate() == 0
        assert manager.hear() == {"STOPPING": "1"}
