"""The screen of omnibusctl top, on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from support.daemon import Daemon
from support.raw import DEADLINE

from .conftest import PROGRAM, StartBus

NAME = "com.example.Echo"
CODES = re.compile(r"\x1b[\[(][0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """A terminal of 120 by 30 on which the program runs; ``text`` is what was written since the last key."""

    def __init__(self, bus: Daemon) -> None:
        self.fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        command = [str(PROGRAM), "--address", bus.address, "top", "-d", "0.2"]
        environment = {"TERM": "xterm", "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.text = ""

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + DEADLINE
        while text not in self.text:
            assert time.monotonic() < end, self.text[-3000:]
            os.write(self.fd, b"\x0c")  # curses writes what has changed; all of it is asked for
            if select.select([self.fd], [], [], 0.1)[0]:
                self.text += CODES.sub("", os.read(self.fd, 65536).decode(errors="replace"))

    def press(self, keys: str) -> None:
        self.text = ""
        os.write(self.fd, keys.encode())

    def end(self) -> int:
        """Read what is left, for which the program would wait, and return its exit status."""
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass  # the other side is closed
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.fd)


@pytest.fixture
def terminal(start_bus: StartBus) -> Iterator[Terminal]:
    bus = start_bus()
    client = bus.connect()
    client.own(NAME)
    client.match("type='signal'")
    found = Terminal(bus)
    yield found
    found.close()


class TestScreen:
    def test_keys(self, terminal: Terminal) -> None:
        """The table, another order, a filter, one connection and back, and the end."""
        terminal.wait_for(NAME)
        terminal.press("n")
        terminal.wait_for("by name")
        for by in ("unit", "uid", "comm"):
            terminal.press("b")
            terminal.wait_for(f"each {by}")
            assert " connections " in terminal.text
        terminal.press("b")
        terminal.wait_for(NAME)
        terminal.press("/Echo\n")
        terminal.wait_for("with 'Echo'")
        terminal.press("\n")
        terminal.wait_for("any key: back")
        assert "type='signal'" in terminal.text
        terminal.press("q")
        terminal.wait_for("with 'Echo'")
        terminal.press("p")
        terminal.wait_for("PAUSED")
        terminal.press("x")
        assert terminal.end() == 0

    def test_no_terminal(self, start_bus: StartBus) -> None:
        """Without a terminal it prints one table and ends."""
        command = [PROGRAM, "--address", start_bus().address, "top", "-d", "0.1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "STATE" in done.stdout
