"""Two buses of each kind, and an omnibus-link between them."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.addresses import fields
from support.broker import broker
from support.daemon import config, private_directory, start
from support.raw import BUS, DEADLINE, BusError, Client

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv/bin/omnibus-link"
REFERENCE = "/usr/bin/dbus-daemon"
NAME = "org.example.Sensor"
USER_A, USER_B = "daemon", "bin"  # how each host appears; dbus-daemon wants accounts


@dataclass
class Bus:
    """A bus of a test: its address, its clients, and how it ends."""

    address: str
    stop: Callable[[], None]
    process: int
    clients: list[Client] = field(default_factory=list)

    def connect(self, **options: Any) -> Client:
        client = Client(self.address, **options)
        self.clients.append(client)
        return client

    def close_clients(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()


class Link:
    """A running omnibus-link."""

    def __init__(self, text: str, directory: Path, prefix: Sequence[str] = (), **options: Any) -> None:
        self.file = directory / "link.toml"
        self.log = directory / "link.log"
        self.file.write_text(text)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, PROGRAM, self.file], stderr=log, stdin=subprocess.DEVNULL, **options
            )

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until a line of the log has a text."""
        end = time.monotonic() + DEADLINE
        while len(re.findall(text, self.log.read_text())) < count:
            assert time.monotonic() < end, f"no {text!r} in {self.log.read_text()!r}"
            assert self.process.poll() is None, f"it has ended: {self.log.read_text()}"
            select.select([], [], [], 0.01)

    def reload(self, text: str, count: int = 1) -> None:
        self.file.write_text(text)
        self.process.send_signal(signal.SIGHUP)
        self.wait_for("read again", count)

    def metrics(self) -> dict[str, int]:
        """The samples by what stands before the value."""
        done = subprocess.run([PROGRAM, "--metrics", self.file], capture_output=True, text=True, check=True)
        lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in lines}

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(DEADLINE) == 0, self.log.read_text()


@dataclass
class Linked:
    """Two linked buses: ``a`` exports, ``b`` imports."""

    a: Bus
    b: Bus
    link: Link

    def service(self, name: str = NAME, **options: Any) -> Client:
        """A service on a, whose name has an owner on b."""
        service = self.a.connect(**options)
        service.own(name)
        self.wait_for_owner(self.b, name)
        return service

    def wait_for_owner(self, bus: Bus, name: str, owner: bool = True) -> str:
        return wait_for_owner(bus, name, owner)

    def stand_in(self, name: str = NAME) -> str:
        """The unique name on b of what stands for the owner of a name on a."""
        return self.wait_for_owner(self.b, name)


def wait_for_owner(bus: Bus, name: str, owner: bool = True) -> str:
    """Wait until a name has an owner, or none; return the owner."""
    client = Client(bus.address)
    try:
        client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{name}'")
        end = time.monotonic() + DEADLINE
        while True:
            try:
                found = str(client.driver("GetNameOwner", "s", name))
            except BusError:
                found = ""
            if bool(found) == owner:
                return found
            assert time.monotonic() < end
            client.take(member="NameOwnerChanged")
    finally:
        client.close()


def plain(address: str) -> str:
    """The address without the GUID."""
    kind, keys = fields(address)
    name = "path" if "path" in keys else "abstract"
    return f"{kind}:{name}={keys[name].decode()}"


def text_of(
    a: Bus,
    b: Bus,
    *,
    exports: str = "",
    imports: str = "",
    more: str = "",
    limits: str = "",
    user_a: str = USER_A,
) -> str:
    """A configuration in which a exports and b imports."""
    exports = exports or f'"{NAME}" = {{ to = ["b"] }}'
    imports = imports or f'"{NAME}" = {{ from = "a" }}'
    return f"""
metrics = "{Path(plain(a.address).partition("=")[2]).parent}/metrics"
[bus.a]
address = "{plain(a.address)}"
user = "{USER_B}"
[bus.a.limits]
{limits}
[bus.a.export]
{exports}
[bus.b]
address = "{plain(b.address)}"
user = "{user_a}"
[bus.b.limits]
{limits}
[bus.b.import]
{imports}
{more}
"""


TELLS = f"""<policy context="mandatory">
  <allow send_destination="{BUS}" send_interface="org.omnibus.Listeners1"/>
  <allow send_destination="{BUS}" send_interface="org.omnibus.Metadata1"/>
</policy>"""
"""What lets stand-ins learn who listens to them, and say who they are, with a bus that can do that."""
KINDS = ("omnibusd", "dbus-daemon", "dbus-broker")


@contextlib.contextmanager
def bus_of(kind: str, executable: str, **settings: Any) -> Iterator[Bus]:
    """Start a bus of a kind."""
    if kind == "dbus-broker":
        directory = private_directory()
        try:
            with broker(directory) as found:
                yield Bus(found.address, found.stop, found.pid)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return
    if kind == "dbus-daemon" and not os.access(REFERENCE, os.X_OK):
        pytest.skip("dbus-daemon is not installed")
    program = REFERENCE if kind == "dbus-daemon" else executable
    if kind == "omnibusd":
        settings = {**settings, "extra": TELLS + settings.get("extra", "")}
    daemon = start(program, config("unix:path={dir}/bus", **settings))
    bus = Bus(daemon.address, daemon.stop, daemon.pid)
    try:
        yield bus
    finally:
        bus.close_clients()
        daemon.stop()


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: the link connects as another user")


StartLink = Callable[..., Linked]


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start_link(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartLink]:
    """Start two buses of a kind and a link; options as of ``text_of``, and settings of the buses."""
    with starter(kind, request, tmp_path) as begin:
        yield begin


@contextlib.contextmanager
def starter(kind: str, request: pytest.FixtureRequest, directory: Path) -> Iterator[StartLink]:
    needs_root()
    executable = str(request.config.option.daemon)
    with contextlib.ExitStack() as stack:

        def begin(
            settings_a: dict[str, Any] | None = None, settings_b: dict[str, Any] | None = None, **options: Any
        ) -> Linked:
            a = stack.enter_context(bus_of(kind, executable, **(settings_a or {})))
            b = stack.enter_context(bus_of(kind, executable, **(settings_b or {})))
            link = Link(text_of(a, b, **options), directory)
            stack.callback(link.stop)
            link.wait_for("a and b are linked")
            return Linked(a, b, link)

        yield begin


@pytest.fixture(scope="session")
def common(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Linked]:
    with starter(kind, request, tmp_path_factory.mktemp("link")) as begin:
        yield begin()


@pytest.fixture
def linked(common: Linked) -> Iterator[Linked]:
    """The plain case, which tests share: each begins without clients."""
    yield common
    for bus in (common.a, common.b):
        bus.close_clients()
    common.wait_for_owner(common.b, NAME, owner=False)
