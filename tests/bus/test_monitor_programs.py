"""Programs that monitor a bus: dbus-monitor and busctl."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.capture import wait_for_capture
from support.daemon import Daemon
from support.programs import Program, need_programs
from support.raw import DEADLINE, Client

StartProgram = Callable[..., Program]


@pytest.fixture
def start_program(bus: Daemon) -> Iterator[StartProgram]:
    """Start programs on ``bus`` that end with the test."""
    with contextlib.ExitStack() as stack:

        def begin(*arguments: str) -> Program:
            program = Program(arguments, bus.environment())
            stack.callback(program.stop)
            return program

        yield begin


class TestPrograms:
    """Commonly used monitors."""

    def test_dbus_monitor(self, bus: Daemon, client: Client, start_program: StartProgram) -> None:
        """BecomeMonitor works, so eavesdropping is not needed; its own NameLost is printed first."""
        need_programs("dbus-monitor")
        program = start_program("dbus-monitor", "--address", bus.address)
        program.read_until("member=NameLost")
        output = program.read_until(f'string "{client.driver("GetId")}"')
        assert "member=GetId" in output
        assert "falling back to eavesdropping" not in output

    def test_pcap(self, bus: Daemon, client: Client, tmp_path: Path) -> None:
        """dbus-monitor --pcap: a capture file with complete messages."""
        need_programs("dbus-monitor")
        self.capture(bus, client, tmp_path, "dbus-monitor", "--pcap", "--address", bus.address)

    def test_busctl_monitor(self, bus: Daemon, client: Client, start_program: StartProgram) -> None:
        need_programs("busctl")
        program = start_program("busctl", "--user", "monitor")
        output = program.read_until('STRING "x"', lambda: client.signal("News", "s", "x"))
        assert "Monitoring bus message stream." in output
        assert f"Sender={client.unique}" in output

    def test_busctl_capture(self, bus: Daemon, client: Client, tmp_path: Path) -> None:
        need_programs("busctl")
        self.capture(bus, client, tmp_path, "busctl", "--user", "capture")

    def capture(self, bus: Daemon, client: Client, directory: Path, *command: str) -> None:
        """Let a program write a capture file until it contains a certain signal."""
        file = directory / "capture"
        with file.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.DEVNULL, env=bus.environment()
            )
        try:
            message = wait_for_capture(file, "News", lambda: client.signal("News", "s", "x"))
        finally:
            process.terminate()
            process.wait(DEADLINE)
        assert message.sender == client.unique
        assert message.body == ("x",)
