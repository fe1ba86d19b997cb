"""Programs that start a bus for others: dbus-run-session, dbus-launch, GTestDBus, python-dbusmock."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import adoption, config, end_process, private_directory
from support.programs import SYSTEM_PYTHON, need_modules, need_programs, run
from support.raw import BUS, Client

REFERENCE = "/usr/bin/dbus-daemon"


@pytest.fixture
def environment(executable: str) -> Iterator[dict[str, str]]:
    """An environment in which ``dbus-daemon`` is the daemon under test, with a home of its own."""
    directory = private_directory()
    wrapper = directory / "dbus-daemon"
    wrapper.write_text(f'#!/bin/sh\nexec "{executable}" "$@"\n')
    wrapper.chmod(0o755)
    with adoption():
        yield {
            "PATH": f"{directory}:{os.environ['PATH']}",
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory),
            "G_TEST_DBUS_DAEMON": executable,
        }
    subprocess.run(["rm", "-rf", directory], check=True)


class TestDbusRunSession:
    @pytest.fixture(autouse=True)
    def needed(self) -> None:
        need_programs("dbus-run-session", "dbus-send")

    def session(self, executable: str, environment: dict[str, str], script: str, status: int = 0) -> str:
        done = run(
            ["dbus-run-session", f"--dbus-daemon={executable}", "--", "sh", "-c", script],
            environment,
            status=status,
        )
        return done.stdout

    def test_session(self, executable: str, environment: dict[str, str]) -> None:
        need_programs("gdbus", "busctl")
        script = (
            f"gdbus call --session -d {BUS} -o / -m {BUS}.ListNames && busctl --user list && "
            f"dbus-send --session --print-reply --dest={BUS} / {BUS}.GetId"
        )
        output = self.session(executable, environment, script)
        assert f"('{BUS}'," in output or f"['{BUS}'" in output
        assert re.search(r'string "[0-9a-f]{32}"', output)

    def test_exit_status(self, executable: str, environment: dict[str, str]) -> None:
        """The exit status is that of the program; the bus ends with it."""
        output = self.session(executable, environment, "echo $DBUS_SESSION_BUS_ADDRESS; exit 7", status=7)
        with pytest.raises(OSError):
            Client(output.strip())

    def test_configuration(self, executable: str, environment: dict[str, str]) -> None:
        directory = Path(environment["HOME"])
        (directory / "my.conf").write_text(config(f"unix:path={directory}/mine"))
        done = run(
            [
                "dbus-run-session",
                f"--dbus-daemon={executable}",
                f"--config-file={directory}/my.conf",
                "sh",
                "-c",
                "echo $DBUS_SESSION_BUS_ADDRESS",
            ],
            environment,
        )
        assert done.stdout.startswith(f"unix:path={directory}/mine,guid=")


class TestDbusLaunch:
    """dbus-launch has a fixed path of the bus: the daemon under test is mounted there, in a namespace."""

    @pytest.fixture
    def launch(self, executable: str, tmp_path: Path) -> list[str]:
        need_programs("dbus-launch")
        if executable == REFERENCE:
            return ["dbus-launch"]
        # omnibusd finds its interpreter beside itself, so it can't be mounted elsewhere.
        wrapper = tmp_path / "dbus-daemon"
        wrapper.write_text(f'#!/bin/sh\nexec "{executable}" "$@"\n')
        wrapper.chmod(0o755)
        command = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"']
        command += [str(wrapper), REFERENCE]
        if subprocess.run([*command, "true"], capture_output=True).returncode:
            pytest.skip("no mount namespace of our own can be had")
        return [*command, "dbus-launch"]

    def test_printed(self, launch: list[str], environment: dict[str, str]) -> None:
        """It prints address and process ID of a bus that keeps running."""
        done = run([*launch, "--sh-syntax"], environment)
        pid = int(re.findall(r"DBUS_SESSION_BUS_PID=(\d+);", done.stdout)[0])
        (address,) = re.findall(r"DBUS_SESSION_BUS_ADDRESS='(.*)';", done.stdout)
        client = Client(address)
        assert client.driver("GetConnectionUnixProcessID", "s", BUS) == pid
        client.close()
        end_process(pid)

    def test_program(self, launch: list[str], environment: dict[str, str]) -> None:
        """With a program as argument it executes that program with the bus in its environment."""
        need_programs("dbus-send")
        ask = f"dbus-send --print-reply --dest={BUS} / {BUS}.GetConnectionUnixProcessID string:{BUS}"
        done = run([*launch, *ask.split()], environment)
        end_process(int(re.findall(r"uint32 (\d+)", done.stdout)[0]))


GTESTDBUS = """
from gi.repository import Gio, GLib
for _ in range(2):
    test = Gio.TestDBus.new(Gio.TestDBusFlags.NONE)
    test.up()
    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    bus = Gio.DBusConnection.new_for_address_sync(test.get_bus_address(), flags, None, None)
    name = 'org.freedesktop.DBus'
    print(bus.call_sync(name, '/', name, 'ListNames', None, None, 0, -1, None))
    bus.set_exit_on_close(False)
    bus.close_sync(None)
    del bus
    test.stop()
print('done')
"""
# dbusmock looks ten times for the socket, a tenth of a second apart: too few on a loaded machine.
DBUSMOCK = """
import time
import dbus, dbusmock
sleep = time.sleep
time.sleep = lambda seconds: sleep(10 * seconds)
class Test(dbusmock.DBusTestCase):
    pass
Test.start_session_bus()
bus = Test.get_dbus()
server = Test.spawn_server('org.example.Mock', '/Mock', 'org.example.Mock')
mock = dbus.Interface(bus.get_object('org.example.Mock', '/Mock'), 'org.freedesktop.DBus.Mock')
mock.AddMethod('', 'Twice', 'i', 'i', 'ret = args[0] * 2')
print(bus.get_object('org.example.Mock', '/Mock').Twice(21, dbus_interface='org.example.Mock'))
server.terminate()
server.wait()
time.sleep = sleep
Test.tearDownClass()
print("done")
"""


class TestGTestDBus:
    def test_start_and_stop(self, environment: dict[str, str]) -> None:
        """GLib starts the bus with its own configuration, and ends it."""
        need_modules("gi")
        done = run([SYSTEM_PYTHON, "-c", GTESTDBUS], environment)
        # The first client of each bus; odd if the control plane authenticated it.
        assert len(re.findall(rf"\(\['{BUS}', ':1\.[01]'\],\)", done.stdout)) == 2
        assert done.stdout.endswith("done\n")


class TestDbusmock:
    def test_service(self, environment: dict[str, str]) -> None:
        """python-dbusmock starts the bus, as a child or with --fork, uses it and ends it."""
        need_modules("dbusmock")
        done = run([SYSTEM_PYTHON, "-c", DBUSMOCK], environment)
        assert done.stdout.splitlines()[-2:] == ["42", "done"]


class TestDbusFast:
    def test_high_level(self, environment: dict[str, str], executable: str) -> None:
        """dbus-fast's service class and proxy: introspection, properties, signals."""
        need_programs("dbus-run-session")
        program = Path(__file__).parent.parent / "support" / "peers" / "proxy.py"
        done = run(
            ["dbus-run-session", f"--dbus-daemon={executable}", "--", sys.executable, str(program)],
            environment,
        )
        assert done.stdout == "ok\n"
