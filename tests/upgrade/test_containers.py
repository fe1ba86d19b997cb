"""Container instances go on across an upgrade and a crash: servers, connections, metadata, and their end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import children, private_directory
from support.message import Type
from support.raw import DEADLINE, BusError, Client, Wire
from support.wire import Variant

from .conftest import Bus, StartBus

CONTAINERS = "org.freedesktop.DBus.Containers1"
TYPE = "org.example.Box"
STANDBY = "omnibus-standby"


def own_file(directory: Path, containers: str) -> None:
    (directory / "omnibus.conf").write_text(
        f"<omnibusconfig><containers>{containers}</containers></omnibusconfig>"
    )


@pytest.fixture
def directory() -> Iterator[Path]:
    """The XDG_RUNTIME_DIR of the bus."""
    path = private_directory()
    own_file(path, "on")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def bus(start_bus: StartBus, directory: Path) -> Bus:
    """A bus with containers and a standby; not of root, the sockets of whose buses have one place for all."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBUS_")}
    options: dict[str, Any] = {"env": {**environment, "XDG_RUNTIME_DIR": str(directory)}}
    if os.geteuid() == 0:
        os.chown(directory, 65534, 65534)
        options["user"] = 65534
    return start_bus(f"--omnibus-config={directory}/omnibus.conf", "--standby=on", options=options)


def standby_of(pid: int) -> int | None:
    for child in children(pid):
        if Path(f"/proc/{child}/comm").read_text().strip() == STANDBY:
            return child
    return None


def crash(bus: Bus) -> None:
    """Kill the bus, and wait for its successor."""
    end = time.monotonic() + DEADLINE
    while (successor := standby_of(bus.pid)) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(bus.pid, signal.SIGKILL)
    bus.daemon.process.wait(DEADLINE)
    bus.wait_for("The bus has crashed")
    bus.pid = successor


def upgrade(bus: Bus) -> None:
    client = bus.connect()
    client.reply_to(bus.start_upgrade(client))


def ask(client: Client, member: str, signature: str = "", *body: Any) -> Any:
    return client.driver(member, signature, *body, interface=CONTAINERS)


def add(manager: Client, **metadata: Variant) -> tuple[str, str]:
    """Return the path of a new instance, and its address."""
    path, _, address = ask(manager, "AddServer", "ssa{sv}a{sv}", TYPE, "box", metadata, {})
    return path, address


def instance_of(client: Client, name: str) -> object:
    found = client.driver("GetConnectionCredentials", "s", name).get(f"{CONTAINERS}.Instance")
    return None if found is None else found.value


def header(client: Client, member: str) -> object:
    """Return the field CONTAINER_INSTANCE of the next message with this member."""
    return next((value for code, _, value in client.take(member=member).extra if code == 10), None)


def removed(client: Client, path: str) -> None:
    client.take(type=Type.SIGNAL, member="InstanceRemoved", body=(path,))


@pytest.mark.parametrize("happens", [upgrade, crash])
class TestInstances:
    def test_everything_goes_on(self, bus: Bus, happens: Any) -> None:
        metadata = {"Species": Variant("s", "Martes martes")}
        manager, asks = bus.connect(), bus.connect()
        for one in (manager, asks):
            one.match(f"interface='{CONTAINERS}'")
        ask(asks, "RequestHeader")
        path, address = add(manager, **metadata)
        with contextlib.closing(Client(address)) as contained:
            before = ask(manager, "GetInstanceInfo", "o", path)
            happens(bus)
            assert ask(manager, "GetInstanceInfo", "o", path) == before
            assert before[3] == metadata
            assert instance_of(asks, contained.unique) == path
            contained.signal("Tick", destination=asks.unique)
            assert header(asks, "Tick") == path
            with pytest.raises(BusError, match="in container"):
                add(contained)
            with contextlib.closing(Client(address)) as later:
                assert instance_of(asks, later.unique) == path
                ask(manager, "StopListening", "o", path)
                with pytest.raises(OSError, match="No such file"):
                    Client(address)
            new, _ = add(manager)
            assert new != path
        removed(asks, path)

    def test_stop_instance(self, bus: Bus, happens: Any) -> None:
        manager = bus.connect()
        manager.match(f"interface='{CONTAINERS}'")
        path, address = add(manager)
        with contextlib.closing(Client(address)) as contained:
            happens(bus)
            ask(manager, "StopInstance", "o", path)
            contained.expect_closed()
            removed(manager, path)

    def test_manager(self, bus: Bus, happens: Any) -> None:
        """The server ends with its manager, and its file with it."""
        watcher, manager = bus.connect(), bus.connect()
        watcher.match(f"interface='{CONTAINERS}'")
        path, address = add(manager)
        happens(bus)
        manager.close()
        removed(watcher, path)
        with pytest.raises(OSError, match="No such file"):
            Client(address)


class TestUpgrade:
    def test_half_a_handshake(self, bus: Bus) -> None:
        """It goes on where it was, and belongs to the instance still."""
        manager = bus.connect()
        path, address = add(manager)
        hexadecimal = str(os.geteuid()).encode().hex().encode()
        with contextlib.closing(Wire(address)) as wire:
            wire.send_bytes(b"\0AUTH EXTERNAL " + hexadecimal + b"\r\n")
            assert wire.read_line().startswith(b"OK ")
            upgrade(bus)
            wire.send_bytes(b"BEGIN\r\n")
            ask(manager, "StopInstance", "o", path)
            wire.expect_closed()

    def test_switched_off(self, bus: Bus, directory: Path) -> None:
        """Servers stop; connections stay contained, and the interface is gone."""
        manager = bus.connect()
        path, address = add(manager)
        with contextlib.closing(Client(address)) as contained:
            own_file(directory, "off")
            upgrade(bus)
            assert instance_of(manager, contained.unique) == path
            with pytest.raises(OSError, match="No such file"):
                Client(address)
            with pytest.raises(BusError, match="UnknownInterface"):
                add(manager)
            with pytest.raises(BusError, match="in container"):
                contained.driver("UpdateActivationEnvironment", "a{ss}", {})
