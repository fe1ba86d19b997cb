"""Configurations of a bus in a directory of the test, and omnibusctl in this process or in one of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omnibus.ctl.cli import run
from support.broker import broker
from support.daemon import Daemon, config, start

from .world import World

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv/bin/omnibusctl"
REFERENCE = "/usr/bin/dbus-daemon"

MAIN = """<busconfig>
<type>system</type>
<listen>unix:path={dir}/socket</listen>
<servicehelper>/bin/false</servicehelper>
<policy context="default">
  <allow user="*"/>
  <deny own="*"/>
  <deny send_type="method_call"/>
  <allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/>
  <allow receive_type="method_return"/>
  <allow receive_type="error"/>
  <allow receive_type="signal"/>
  <allow send_destination="org.freedesktop.DBus"/>
</policy>
<servicedir>{dir}/services</servicedir>
<includedir>{dir}/system.d</includedir>
</busconfig>
"""
ECHO = """<busconfig>
<policy user="root">
  <allow own="com.example.Echo"/>
</policy>
<policy context="default">
  <allow send_destination="com.example.Echo" send_interface="com.example.Read"/>
  <deny send_destination="com.example.Echo" send_interface="com.example.Read" send_member="Reboot"/>
</policy>
</busconfig>
"""
ECHO_FILE = "com.example.Echo.conf"


@dataclass
class Done:
    """What a verb has done: its exit code, and what it has printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """The data of the JSON object, whose schema is the one that is promised."""
        whole = json.loads(self.out)
        assert whole.keys() == {"schema", "bus", "data"}
        assert whole["schema"] == 1
        return whole["data"]


Ctl = Callable[..., Done]


class Files:
    """The files of a bus; ``main`` is the one that includes the others."""

    def __init__(self, directory: Path, main: str = MAIN) -> None:
        self.directory = directory
        self.main = directory / "main.conf"
        for name in ("system.d", "services"):
            (directory / name).mkdir()
        self.main.write_text(main.replace("{dir}", str(directory)))

    def add(self, text: str, name: str = "com.example.Test.conf") -> Path:
        """Write a file that the main file includes."""
        path = self.directory / "system.d" / name
        path.write_text(text)
        return path

    def add_rules(
        self, *rules: str, policy: str = 'context="default"', name: str = "com.example.Test.conf"
    ) -> Path:
        """Write a file with one policy; its rules begin in line 3."""
        return self.add(
            "\n".join(["<busconfig>", f"<policy {policy}>", *rules, "</policy>", "</busconfig>"]), name
        )

    def add_service(self, text: str, name: str) -> Path:
        path = self.directory / "services" / name
        path.write_text(text)
        return path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def ctl(capsys: pytest.CaptureFixture[str]) -> Ctl:
    """Run a verb in this process."""

    def act(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(one) for one in arguments])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return act


def program(*arguments: object, **options: Any) -> Done:
    """Run the installed program."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **options
    )
    return Done(done.returncode, done.stdout, done.stderr)


StartBus = Callable[..., Daemon]


@pytest.fixture
def start_bus(request: pytest.FixtureRequest) -> Iterator[StartBus]:
    """Start a bus: omnibusd, or another program."""
    with contextlib.ExitStack() as stack:

        def begin(text: str | None = None, executable: str | None = None, **settings: Any) -> Daemon:
            text = text or config("unix:path={dir}/bus", **settings)
            daemon = start(executable or str(request.config.option.daemon), text)
            stack.callback(daemon.stop)
            return daemon

        yield begin


@pytest.fixture(params=["omnibusd", "dbus-daemon"])
def any_bus(request: pytest.FixtureRequest, start_bus: StartBus) -> Daemon:
    """A session bus of either kind."""
    if request.param == "omnibusd":
        return start_bus()
    if not os.access(REFERENCE, os.X_OK):
        pytest.skip("dbus-daemon is not installed")
    return start_bus(executable=REFERENCE)


@pytest.fixture
def unprivileged() -> int:
    """The uid of an unprivileged user."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to change the uid")
    return 65534


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("needs root: the bus is a system bus")
    world = World(str(request.config.option.daemon), tmp_path_factory.mktemp("world"))
    yield world
    world.close()


def ask(ctl: Ctl, bus: Daemon, *arguments: str) -> Done:
    return ctl("--address", bus.address, *arguments)


def data(ctl: Ctl, bus: Daemon, *arguments: str) -> object:
    done = ctl("--json", "--address", bus.address, *arguments)
    assert done.code in (0, 1), done.err
    return done.json()


@pytest.fixture
def bus(start_bus: StartBus) -> Daemon:
    return start_bus()


@pytest.fixture(params=["omnibusd", "dbus-daemon", "dbus-broker"])
def every_bus(request: pytest.FixtureRequest, start_bus: StartBus, tmp_path: Path) -> Iterator[str]:
    """The address of a bus of each kind."""
    if request.param == "dbus-broker":
        with broker(tmp_path) as bus:
            yield bus.address
    elif request.param == "dbus-daemon":
        yield start_bus(executable="/usr/bin/dbus-daemon").address
    else:
        yield start_bus().address
