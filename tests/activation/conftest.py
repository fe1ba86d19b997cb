"""A bus with controlled starts, the launch helper and its parts, and daemons with services."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from omnibus.daemon.activation.environment import Environment
from omnibus.daemon.activation.tools import Program
from omnibus.daemon.bus import Bus
from omnibus.daemon.guard import Action, Failed, Guard
from omnibus.daemon.peers import Peer
from omnibus.policy.block import encode
from omnibus.policy.rules import Kind, Rule
from omnibus.policy.settings import Limits, ServiceDir, Settings
from omnibus.transport.relay import EventKind
from support.daemon import Daemon, adoption, config, start
from support.plane import FakeEvent, FakePlane, Lines, make_credentials
from support.raw import DEADLINE, ERROR, BusError, Client
from support.wire import marshal

Result = TypeVar("Result")
StartDaemon = Callable[..., Daemon]
Commands = list[tuple[Any, ...]]

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "daemon/launch"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
HELPER_PARTS = ("bus_config", "command_line", "oom_score", "service_file", "xml")
OWN_AND_SEND = [Rule(Kind.OWN, allow=True), Rule(Kind.SEND, allow=True, requested_reply=True)]


# Native code


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile a program with the launch helper's parts, once for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    counting = os.environ.get("COVERAGE_CFLAGS", "").split()
    if counting:  # make coverage looks for the programs there
        shared = Path(os.environ["COVERAGE_BUILD"])

    def build(name: str, source: Path, *flags: str) -> Path:
        target = shared / name
        with (shared / "compile.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                sources = [source, *(LAUNCH / f"{part}.c" for part in HELPER_PARTS)]
                command = [
                    "clang",
                    "-std=gnu11",
                    "-g",
                    "-O1",
                    "-Wall",
                    "-Wextra",
                    "-Wshadow",
                    "-Wconversion",
                    "-Werror",
                    *counting,
                    *flags,
                    *sources,
                ]
                subprocess.run([*command, "-o", f"{target}.part"], check=True)
                Path(f"{target}.part").rename(target)
        return target

    return build


class Parts:
    """The launch helper's C parts, under the sanitizers; they reply until a sanitizer reports an error."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, kind: str, data: bytes) -> list[str | None] | None:
        """Return the strings that the part returns, None if it refuses."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{kind}{len(data)}\n".encode() + data)
        self.process.stdin.flush()
        error, count = map(int, self.process.stdout.readline().split())
        strings = [self._string() for _ in range(count)]
        return None if error else strings

    def _string(self) -> str | None:
        assert self.process.stdout
        size = int(self.process.stdout.readline())
        return None if size < 0 else self.process.stdout.read(size).decode()

    def command_line(self, text: str) -> list[str | None] | None:
        return self.ask("c", text.encode())

    def service_file(self, data: bytes) -> list[str | None] | None:
        """Return Name, Exec and User."""
        return self.ask("s", data)

    def bus_config(self, data: bytes) -> list[str | None] | None:
        """Return the user and the directories."""
        return self.ask("x", data)


@pytest.fixture(scope="session")
def parts(compile_c: Callable[..., Path]) -> Iterator[Parts]:
    found = Parts(compile_c("parts", Path(__file__).with_name("parts.c"), *SANITIZERS))
    yield found
    _, error = found.process.communicate()
    assert found.process.returncode == 0, error


# A bus on a fake data plane


@dataclass(eq=False)
class FakeTimer:
    seconds: float
    action: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(eq=False)
class FakeChild:
    program: Program | None
    ended: Callable[[int], None]
    killed: bool = False
    pid: int = 4711

    def kill(self) -> None:
        self.killed = True


@dataclass
class FakeTools:
    """Nothing happens before the test triggers it; ``error`` is raised instead of spawning."""

    time: float = 1000.0
    waiting: list[Callable[[], None]] = field(default_factory=list)
    timers: list[FakeTimer] = field(default_factory=list)
    children: list[FakeChild] = field(default_factory=list)
    error: OSError | None = None
    guard: Guard = field(default_factory=lambda: Guard(Lines()))

    def in_background(
        self, work: Callable[[], Result], done: Callable[[Result], object], failed: Failed
    ) -> None:
        self.waiting.append(lambda: self.guard.run(lambda: done(work()), failed))

    def later(self, seconds: float, action: Action, failed: Failed) -> FakeTimer:
        timer = FakeTimer(seconds, lambda: self.guard.run(action, failed))
        self.timers.append(timer)
        return timer

    def now(self) -> float:
        return self.time

    def spawn(self, program: Program, ended: Callable[[int], object], failed: Failed) -> FakeChild:
        if self.error is not None:
            raise self.error
        child = FakeChild(program, lambda status: self.guard.run(lambda: ended(status), failed))
        self.children.append(child)
        return child

    def adopt(self, pid: int, ended: Callable[[int], object], failed: Failed) -> FakeChild:
        if self.error is not None:
            raise self.error
        child = FakeChild(None, lambda status: self.guard.run(lambda: ended(status), failed), pid=pid)
        self.children.append(child)
        return child

    def read(self) -> None:
        """Run the pending readings of the directories, and those they cause."""
        while self.waiting:
            self.waiting.pop(0)()

    def pass_time(self, timer: FakeTimer | None = None) -> None:
        """Let the latest timer, or the given one, expire."""
        timer = timer or self.timers[-1]
        assert not timer.cancelled
        self.timers.remove(timer)
        self.time += timer.seconds
        timer.action()


class Desk:
    """The bus, its tools and a directory of services, with methods that inject events."""

    def __init__(
        self,
        directory: Path,
        *,
        limits: Limits | None = None,
        rules: Sequence[Rule] = OWN_AND_SEND,
        systemd_activation: bool = False,
        **settings: Any,
    ) -> None:
        self.directory = directory
        self.plane = FakePlane()
        self.tools = FakeTools()
        self.log = Lines()
        settings.setdefault("service_dirs", (ServiceDir(str(directory)),))
        self.settings = Settings(limits=limits or Limits(), policy=encode(rules), **settings)
        self.environment = Environment({b"PATH": b"/bin"}, "an:address", "session")
        self.bus = Bus(
            self.plane,
            self.settings,
            self.log,
            systemd_activation=systemd_activation,
            tools=self.tools,
            environment=self.environment,
        )
        self.tools.guard = self.bus.guard
        self.tools.read()
        self.plane.commit()
        self.plane.take()
        self.parked = 0

    def service(
        self,
        name: str,
        exec: str = "/bin/service --flag",
        filename: str = "",
        *,
        known: bool = True,
        **keys: str,
    ) -> Path:
        """Write a .service file; ``known``: the bus has already read it."""
        path = self.directory / (filename or f"{name}.service")
        lines = [f"{key}={value}\n" for key, value in {"Name": name, "Exec": exec, **keys}.items()]
        path.write_text("[D-BUS Service]\n" + "".join(lines))
        if known:
            self.bus.activation.configure(self.settings)
            self.tools.read()
        return path

    def attach(self, uid: int = 1000, pid: int | None = 42) -> Peer:
        credentials = make_credentials(uid, pid).replace(fd_passing=True, privileged=uid == 0)
        peer = self.bus.peers.add(self.plane.next_id(), credentials)
        self.bus.peers.activate(peer)
        return peer

    def happen(self, *events: FakeEvent, read: bool = True) -> Commands:
        """Handle the pending events, read the directories, and return the commands to the data plane."""
        self.plane.waiting += events
        self.bus.dispatch()
        if read:
            self.tools.read()
        return self.take()

    def take(self) -> Commands:
        """Return the commands since the last call."""
        self.plane.commit()
        return self.plane.take()

    def park(self, peer: Peer, name: str, *, read: bool = True, **fields: Any) -> Commands:
        """Park a message; ``self.parked`` is its number."""
        self.parked += 1
        values: dict[str, Any] = {"path": "/a", "interface": "a.b", "member": "C", **fields}
        event = FakeEvent(EventKind.PARKED, peer.id, self.parked, destination=name, **values)
        return self.happen(event, read=read)

    def call(
        self, peer: Peer, member: str, signature: str = "", *args: Any, read: bool = True, serial: int = 1
    ) -> Commands:
        body = marshal(signature, args)
        event = FakeEvent(peer=peer.id, member=member, signature=signature, body=body, serial=serial)
        return self.happen(event, read=read)

    def own(self, peer: Peer, name: str) -> Commands:
        return self.call(peer, "RequestName", "su", name, 0, serial=99)

    def tell(self, peer: Peer, signature: str, *args: Any, **fields: Any) -> Commands:
        """Send the bus a signal, or another message that is no call."""
        values: dict[str, Any] = {"type": 4, "path": "/org/freedesktop/systemd1", **fields}
        return self.happen(
            FakeEvent(peer=peer.id, signature=signature, body=marshal(signature, args), **values)
        )

    @property
    def child(self) -> FakeChild:
        """The only running program."""
        (child,) = self.tools.children
        return child


@pytest.fixture
def make_desk(tmp_path: Path) -> Callable[..., Desk]:
    directory = tmp_path / "services"
    directory.mkdir()
    return lambda **settings: Desk(directory, **settings)


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()


@pytest.fixture
def peer(desk: Desk) -> Peer:
    return desk.attach()


# Daemons


@pytest.fixture(scope="session")
def executable(request: pytest.FixtureRequest) -> str:
    """The daemon under test."""
    return str(request.config.option.daemon)


def wait_until(condition: Callable[[], object]) -> None:
    """Poll for a condition that is not reported."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def failure(client: Client, name: str) -> tuple[str, str]:
    """Call a service that can't be started; return the error."""
    with pytest.raises(BusError) as caught:
        client.call(name, "Hello")
    return caught.value.name.removeprefix(ERROR), caught.value.text


class Services:
    """A directory of .service files, and daemons that use it."""

    def __init__(self, executable: str, directory: Path, stack: contextlib.ExitStack) -> None:
        self.executable = executable
        self.directory = directory
        self.stack = stack

    def add(self, name: str, exec: str, filename: str = "", **keys: str) -> None:
        path = self.directory / (filename or f"{name}.service")
        lines = [f"{key}={value}\n" for key, value in {"Name": name, "Exec": exec, **keys}.items()]
        path.write_text("[D-BUS Service]\n" + "".join(lines))

    def start(self, *arguments: str, extra: str = "", options: Any = None, **settings: Any) -> Daemon:
        """Start a daemon; ``settings`` as for support.daemon.config."""
        extra += f"<servicedir>{self.directory}</servicedir>"
        text = config("unix:path={dir}/bus", extra=extra, **settings)
        daemon = start(self.executable, text, arguments, **(options or {}))
        self.stack.callback(daemon.stop)
        self.daemon = daemon
        return daemon


@pytest.fixture
def services(executable: str, tmp_path: Path) -> Iterator[Services]:
    directory = tmp_path / "services"
    directory.mkdir()
    # The children of a daemon are reparented to us when it ends.
    with adoption(), contextlib.ExitStack() as stack:
        yield Services(executable, directory, stack)
