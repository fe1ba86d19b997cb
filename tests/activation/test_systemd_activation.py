"""--systemd-activation: services that systemd starts at the bus's request."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon, read_line
from support.message import Type
from support.raw import BUS, BUS_PATH, PROPERTIES, Client
from support.timeouts import scaled

from .conftest import Services, failure

HERE = Path(__file__).parent
NAME = "org.example.Service"
SYSTEMD = "org.freedesktop.systemd1"
SYSTEMD_PATH = "/org/freedesktop/systemd1"


StartWithSystemd = Callable[..., tuple[Daemon, "Systemd"]]


class Systemd:
    """A fake systemd."""

    def __init__(self, daemon: Daemon, **states: str) -> None:
        units = [f"{unit}.service={state}" for unit, state in states.items()]
        command = [sys.executable, HERE / "systemd.py", daemon.address, *units]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout
        return read_line(self.process.stdout.fileno()).strip()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def daemon(services: Services) -> Daemon:
    services.add(NAME, "/bin/false", SystemdService="unit.service")
    return services.start("--systemd-activation")


class TestUnits:
    """Units that systemd starts, or fails to start."""

    @pytest.fixture
    def systemd(self, daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[Systemd]:
        found = Systemd(daemon, unit=request.param)
        yield found
        found.stop()

    @pytest.mark.deviation("unit-failure")
    @pytest.mark.parametrize(
        ("systemd", "text"),
        [
            ("failed", "Unit unit.service failed"),
            ("inactive", "Unit unit.service was not started: a condition is not met"),
        ],
        indirect=["systemd"],
    )
    def test_failure(self, daemon: Daemon, systemd: Systemd, text: str) -> None:
        """The failure is reported long before the time-out of 25 seconds."""
        client = daemon.connect(deadline=scaled(10))
        assert failure(client, NAME) == ("Spawn.Failed", text)
        assert systemd.read() == "unit.service"

    @pytest.mark.parametrize("systemd", ["active"], indirect=True)
    def test_service_comes(self, daemon: Daemon, systemd: Systemd) -> None:
        client = daemon.connect()
        serial = client.start_call(NAME, "Hello")
        assert systemd.read() == "unit.service"
        service = daemon.connect()
        service.driver("RequestName", "su", NAME, 0)
        service.reply(service.take(member="Hello"))
        assert client.reply_to(serial)


@pytest.mark.deviation("transient-unit")
class TestTransientUnits:
    """Programs that systemd runs for the bus: what the bus's own children have, they have too."""

    @pytest.fixture
    def start(self, services: Services) -> Iterator[StartWithSystemd]:
        with contextlib.ExitStack() as stack:

            def begin(exec: str, **settings: Any) -> tuple[Daemon, Systemd]:
                services.add(NAME, exec)
                daemon = services.start("--systemd-activation", **settings)
                systemd = Systemd(daemon)
                stack.callback(systemd.stop)
                return daemon, systemd

            yield begin

    def test_service(self, start: StartWithSystemd) -> None:
        """It gets its words and its environment; systemd may forget it when it has its name."""
        words = f"{sys.executable} {HERE / 'service.py'}"
        daemon, systemd = start(f"/bin/sh -c 'exec {words} $1$2' sh org.example. Service")
        client = daemon.connect()
        client.driver("UpdateActivationEnvironment", "a{ss}", {"A": "b c", "D%%": "systemd refuses it"})
        environment = json.loads(client.call(NAME, "Environment").body[0])
        unit = systemd.read()
        assert unit.startswith(f"dbus-{NAME}@")
        assert systemd.read() == f"StopUnit {unit.removesuffix('service')}timer"
        assert environment["A"] == "b c"
        assert environment["DBUS_STARTER_ADDRESS"] == daemon.address
        assert "D%%" not in environment

    @pytest.mark.parametrize(
        ("exec", "error", "text"),
        [
            ("/bin/sh -c 'exit 3'", "Spawn.ChildExited", f"Process {NAME} exited with status 3"),
            ("/bin/sh -c 'kill -9 $$'", "Spawn.ChildSignaled", f"Process {NAME} received signal 9"),
            (
                "/nonexistent",
                "Spawn.ExecFailed",
                f"Failed to execute program {NAME}: No such file or directory",
            ),
        ],
    )
    def test_failure(self, start: StartWithSystemd, exec: str, error: str, text: str) -> None:
        daemon, systemd = start(exec)
        assert failure(daemon.connect(deadline=scaled(10)), NAME) == (error, text)
        unit = systemd.read()
        assert systemd.read() == f"StopUnit {unit.removesuffix('service')}timer"

    def test_time_out(self, start: StartWithSystemd) -> None:
        """The program is killed."""
        daemon, systemd = start("/bin/sleep 1000", limits={"service_start_timeout": 100})
        assert failure(daemon.connect(), NAME)[0] == "TimedOut"
        unit = systemd.read()
        assert systemd.read() == f"KillUnit {unit}"


class TestMessages:
    """Messages between the bus and the owner of systemd's name."""

    def test_features(self, daemon: Daemon) -> None:
        features = daemon.connect().driver("Get", "ss", BUS, "Features", interface=PROPERTIES)
        assert "SystemdActivation" in features.value

    def test_request(self, daemon: Daemon) -> None:
        """ActivationRequest: a signal to systemd with the name of the unit; nothing is executed."""
        client, systemd = daemon.connect(), daemon.connect()
        systemd.own(SYSTEMD)
        serial = client.start_call(NAME, "Hello")
        request = systemd.take(member="ActivationRequest")
        assert (request.type, request.sender, request.destination) == (Type.SIGNAL, BUS, SYSTEMD)
        assert (request.path, request.interface) == (BUS_PATH, f"{SYSTEMD}.Activator")
        assert request.body == ("unit.service",)
        client.sync()
        self.tell(systemd, "ActivationFailure", "sss", "unit.service", "org.example.Why", "so")
        assert client.expect_error(serial, "org.example.Why") == "so"

    def test_comes_later(self, daemon: Daemon) -> None:
        """The request is parked until systemd connects."""
        client = daemon.connect()
        client.start_call(NAME, "Hello")
        client.sync()
        systemd = daemon.connect()
        systemd.own(SYSTEMD)
        assert systemd.take(member="ActivationRequest").body == ("unit.service",)

    def test_environment(self, daemon: Daemon) -> None:
        """UpdateActivationEnvironment is forwarded, because units are services, too."""
        client, systemd = daemon.connect(), daemon.connect()
        systemd.own(SYSTEMD)
        client.driver("UpdateActivationEnvironment", "a{ss}", {"A": "b c", "D": ""})
        call = systemd.take(member="SetEnvironment")
        assert (call.type, call.sender, call.path) == (Type.METHOD_CALL, BUS, SYSTEMD_PATH)
        assert call.interface == f"{SYSTEMD}.Manager"
        assert sorted(call.body[0]) == ["A=b c", "D="]

    def tell(self, systemd: Client, member: str, signature: str, *body: str) -> None:
        fields = {"path": SYSTEMD_PATH, "interface": f"{SYSTEMD}.Activator", "destination": BUS}
        systemd.signal(member, signature, *body, **fields)
