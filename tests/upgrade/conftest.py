"""Buses that are upgraded while clients are connected."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from omnibus import __version__
from support.daemon import Daemon, adoption, config, private_directory, start
from support.raw import BUS, BUS_PATH, DEADLINE, BusError, Client

CONTROL = "org.omnibus.Control1"
OMNIBUSCTL = Path(__file__).parents[2] / ".venv/bin/omnibusctl"


class Bus:
    """A bus whose installed program is a link, which a test may change."""

    def __init__(
        self,
        executable: str,
        text: str,
        arguments: Sequence[str],
        options: dict[str, Any],
        program: str | None = None,
    ) -> None:
        self.executable = executable
        self.directory = private_directory()
        self.program = self.directory / "bin/omnibusd"
        self.program.parent.mkdir()
        self.install(program or executable)
        if (owner := options.get("user")) is not None:
            os.chown(self.directory, owner, owner)
            self.program = Path(executable)  # a link would take a process to be followed
        self.daemon: Daemon = start(str(self.program), text, arguments, directory=self.directory, **options)
        self.pid = self.daemon.pid
        self.pauses: list[float] = []
        """For how many seconds no client was served, in each upgrade, as the bus says."""
        self.upgraded: list[tuple[float, float]] = []
        """When each upgrade was asked for, and when it was over, by time.monotonic()."""

    def connect(self, **options: Any) -> Client:
        return self.daemon.connect(**options)

    def install(self, target: str) -> None:
        """Let the path of the program lead elsewhere, as an installation does."""
        link = self.program.with_name("new")
        link.symlink_to(target)
        link.replace(self.program)

    def script(self, text: str) -> None:
        """Install a shell script, in which $real is the real program."""
        file = self.program.with_name("new")
        file.write_text(f"#!/bin/sh\nreal={self.executable}\n{text}")
        file.chmod(0o755)
        file.replace(self.program)

    def start_upgrade(self, client: Client) -> int:
        """Ask for an upgrade; return the serial of the call."""
        return client.start_call(BUS, "Upgrade", interface=CONTROL, path=BUS_PATH)

    def upgrade(self, client: Client | None = None) -> None:
        """Upgrade the bus, and check that it is the same process, and said so."""
        client = client or self.connect()
        before = sorted(client.driver("ListNames"))
        asked = time.monotonic()
        version, _, pause = client.reply_to(self.start_upgrade(client)).body
        self.upgraded.append((asked, time.monotonic()))
        self.pauses.append(pause / 1e6)
        assert version == __version__
        assert pause > 0
        assert sorted(client.driver("ListNames")) == before
        assert self.daemon.process.poll() is None
        command = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        assert command.count(b"--resume-fd=") == 1
        assert self.daemon.stderr.count("Upgraded from omnibus") == len(self.pauses)

    def refuses(self, client: Client, name: str = "org.freedesktop.DBus.Error.Failed") -> str:
        """Ask for an upgrade that must fail, and return the text of its error."""
        with pytest.raises(BusError) as caught:
            client.reply_to(self.start_upgrade(client))
        assert caught.value.name == name
        return caught.value.text

    def wait_for(self, text: str) -> None:
        """Wait until the bus has logged a text."""
        end = time.monotonic() + DEADLINE
        while text not in self.daemon.stderr:
            assert time.monotonic() < end, self.daemon.stderr
            time.sleep(0.02)

    def signal(self) -> None:
        os.kill(self.pid, signal.SIGUSR2)

    def control(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run omnibusctl."""
        variables = self.daemon.environment(
            DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent/system", **environment
        )
        return subprocess.run(
            [OMNIBUSCTL, *arguments], capture_output=True, text=True, timeout=120, check=False, env=variables
        )

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the program for a command."""
        environment = self.daemon.environment(DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nonexistent/system")
        return subprocess.run(
            [self.executable, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
            **options,
        )


class StartBus:
    def __init__(self, executable: str, stack: contextlib.ExitStack) -> None:
        self.executable = executable
        self.stack = stack

    def __call__(
        self,
        *arguments: str,
        text: str | None = None,
        program: str | None = None,
        options: Any = None,
        **settings: Any,
    ) -> Bus:
        """``settings`` are those of support.daemon.config; ``program`` is started instead of the daemon."""
        text = text or config("unix:path={dir}/bus", **settings)
        bus = Bus(self.executable, text, arguments, options or {}, program)
        self.stack.callback(bus.daemon.stop)
        return bus


@pytest.fixture(scope="session")
def executable(request: pytest.FixtureRequest) -> str:
    """The daemon under test."""
    return str(request.config.option.daemon)


@pytest.fixture
def start_bus(executable: str) -> Iterator[StartBus]:
    # Children of a daemon are reparented to us when it ends.
    with adoption(), contextlib.ExitStack() as stack:
        yield StartBus(executable, stack)


@pytest.fixture
def bus(start_bus: StartBus) -> Bus:
    return start_bus()


@pytest.fixture
def unprivileged() -> int:
    """The uid of an unprivileged user."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to change the uid")
    return 65534
