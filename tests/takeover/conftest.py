"""Buses of dbus-daemon that are taken over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import DEADLINE, Daemon, adoption, config, private_directory, start
from support.raw import BusError, Client, Wire

CHECKOUT = Path(__file__).parents[2]
REFERENCE = "/usr/bin/dbus-daemon"
STATS = "org.freedesktop.DBus.Debug.Stats"
PATIENCE = "20"
"""Seconds that a takeover may take on a machine that has much to do."""

Ran = subprocess.CompletedProcess[str]


class Bus:
    """A dbus-daemon, and the program that takes it over."""

    def __init__(self, tool: Path, program: str, daemon: Daemon) -> None:
        self.tool = tool
        self.program = program
        self.daemon = daemon
        self.pid = daemon.pid
        self.blocker: Wire | None = None

    def connect(self, **options: Any) -> Client:
        return self.daemon.connect(**options)

    def command(self, *arguments: str, program: str | None = None, patience: str = PATIENCE) -> list[str]:
        options = [f"--program={program or self.program}", f"--patience={patience}"]
        return [str(self.tool), *options, *arguments, str(self.pid)]

    def run(self, *arguments: str, **options: Any) -> Ran:
        """Run the program."""
        how = {name: options.pop(name) for name in ("program", "patience") if name in options}
        command = self.command(*arguments, **how)
        return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, **options)

    def take_over(self, *arguments: str) -> str:
        """Take the bus over, and return what was printed; each client has got one probe."""
        named = [client for client in self.daemon.clients if client.unique]
        ran = self.run(*arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr + self.daemon.stderr
        assert f"Process {self.pid} is omnibusd now" in ran.stdout
        assert self.daemon.process.poll() is None
        assert self.is_omnibus
        take_probes(named)
        return ran.stdout + ran.stderr

    def refuses(self, *arguments: str, **options: Any) -> str:
        """Check that a takeover is refused and has changed nothing, and return the reason."""
        before = self.facts()
        options.setdefault("patience", "1")
        ran = self.run(*arguments, **options)
        assert ran.returncode == 1, ran.stdout + ran.stderr
        assert not self.is_omnibus
        assert self.facts() == before
        return ran.stderr

    @property
    def is_omnibus(self) -> bool:
        return b"omnibus" in Path(f"/proc/{self.pid}/cmdline").read_bytes()

    @property
    def pipes(self) -> int:
        """The number of its descriptors that are pipes."""
        links = []
        for one in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(os.readlink(one))
        return sum(link.startswith("pipe:") for link in links)

    def facts(self) -> dict[str, Any]:
        """What a refused takeover leaves as it was: descriptors with their flags, mappings, signals."""
        process = Path(f"/proc/{self.pid}")
        with contextlib.closing(self.daemon.connect()) as client:
            client.driver("GetId")  # it is not held, and has handled what came before
            descriptors = {}
            for one in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    flags = (process / "fdinfo" / one.name).read_text().split("flags:")[1].split()[0]
                    descriptors[one.name] = (os.readlink(one).partition(":")[0], flags)
            status = (process / "status").read_text().splitlines()
            kept = ("TracerPid", "SigBlk", "SigCgt")
            return {
                "descriptors": descriptors,
                "status": [line for line in status if line.startswith(kept)],
                "maps": [
                    line.split()[1:]
                    for line in (process / "maps").read_text().splitlines()
                    if "[heap]" not in line and "[stack]" not in line
                ],
            }


@pytest.fixture(scope="session")
def tool() -> Path:
    """omnibus-takeover, built for the tests of this checkout."""
    if not (shutil.which("gcc") and shutil.which("make") and os.path.exists(REFERENCE)):
        pytest.skip("needs gcc, make and dbus-daemon")
    built = CHECKOUT / "build/takeover"
    built.mkdir(parents=True, exist_ok=True)
    with (built / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "-C", CHECKOUT / "takeover", "CC=gcc"], capture_output=True, text=True, check=False
        )
    assert made.returncode == 0, made.stdout + made.stderr
    return built / "omnibus-takeover"


StartBus = Callable[..., Bus]


@pytest.fixture
def start_bus(request: pytest.FixtureRequest, tool: Path) -> Iterator[StartBus]:
    """Start a dbus-daemon; ``settings`` are those of support.daemon.config."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to trace another process")
    with adoption(), contextlib.ExitStack() as stack:

        def begin(*arguments: str, text: str | None = None, options: Any = None, **settings: Any) -> Bus:
            directory = private_directory()
            options = dict(options or {})
            if "user" in options:
                shutil.chown(directory, options["user"], options.get("group"))
            text = text or config("unix:path={dir}/bus", **settings)
            daemon = start(REFERENCE, text, arguments, directory=directory, **options)
            stack.callback(daemon.stop)
            return Bus(tool, str(request.config.option.daemon), daemon)

        yield begin


@pytest.fixture
def bus(start_bus: StartBus) -> Bus:
    found = start_bus()
    with contextlib.closing(found.daemon.connect()) as client:
        try:
            client.driver("GetStats", interface=STATS)
        except BusError:
            pytest.skip("this dbus-daemon was built without Debug.Stats")
    return found


def take_probes(clients: list[Client]) -> None:
    """Receive the one message that a client gets from a takeover."""
    for client in clients:
        if client.socket.fileno() >= 0:
            client.take(member="Probe", interface="org.omnibus.Takeover", destination=client.unique)


def wait_until_traced(bus: Bus, process: subprocess.Popen[str]) -> None:
    """Wait until the process of a takeover traces the bus."""
    end = time.monotonic() + DEADLINE
    while "TracerPid:\t0\n" in Path(f"/proc/{bus.pid}/status").read_text():
        assert time.monotonic() < end
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
            raise AssertionError(process.communicate())


def hold_up(bus: Bus, *arguments: str) -> subprocess.Popen[str]:
    """Start a takeover that waits, because a client does not say Hello; return once it traces the bus."""
    bus.blocker = Wire(bus.daemon.address)
    process = subprocess.Popen(
        bus.command(*arguments, patience="60"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until_traced(bus, process)
    take_probes([client for client in bus.daemon.clients if client.unique])
    return process


def let_through(bus: Bus, process: subprocess.Popen[str]) -> None:
    """Let that takeover happen."""
    assert bus.blocker is not None
    bus.blocker.close()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err + bus.daemon.stderr
    assert bus.is_omnibus
