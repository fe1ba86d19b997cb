"""Programs that use the bus: run to their end, or started and read line by line."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from support.raw import DEADLINE

PEERS = Path(__file__).parent / "peers"
# The client libraries, each with the modules of the system's Python that its peer needs; none: see ``BUILT``.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "glib": ("gi",),
    "libdbus": ("dbus", "gi"),
    "sdbus": (),
    "fast": (),
    "qt": (),
    "godbus": (),
    "zbus": (),
}
BUILT = Path(__file__).parents[2] / ".venv/peers"  # by ``make peers``: in C++, Go and Rust
COMPILED = ("qt", "godbus", "zbus")
SYSTEM_PYTHON = "/usr/bin/python3"  # has the Python modules that Debian packages
PACKAGES = {
    "dbus-send": "dbus-bin",
    "dbus-monitor": "dbus-bin",
    "dbus-test-tool": "dbus-tests",
    "dbus-run-session": "dbus-daemon",
    "dbus-launch": "dbus-x11",
    "gdbus": "libglib2.0-bin",
    "busctl": "systemd",
    "dbus": "python3-dbus",
    "gi": "python3-gi",
    "dbusmock": "python3-dbusmock",
}


def need_programs(*names: str) -> None:
    """Skip the test unless these programs are installed."""
    for name in names:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed (Debian package {PACKAGES[name]})")


def need_modules(*names: str) -> None:
    """Skip the test unless the system's Python has these modules."""
    for name in names:
        done = subprocess.run([SYSTEM_PYTHON, "-c", f"import {name}"], capture_output=True)
        if done.returncode:
            pytest.skip(f"no module {name} for {SYSTEM_PYTHON} (Debian package {PACKAGES[name]})")


def run(
    arguments: Sequence[str], env: Mapping[str, str], status: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and check its exit status."""
    done = subprocess.run(
        list(arguments),
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        stdin=subprocess.DEVNULL,
    )
    assert status is None or done.returncode == status, f"{arguments}: {done}"
    return done


def need_library(peer: str) -> None:
    """Skip the test unless the peer in this library can be run."""
    if peer in COMPILED and not (BUILT / peer).exists():
        pytest.skip(f"the peer {peer} is not built (make peers)")
    need_modules(*LIBRARIES[peer])


def peer_command(peer: str, role: str, name: str) -> list[str]:
    """Return the command that runs one of ``peers`` as a service or a caller."""
    if peer in COMPILED:
        return [str(BUILT / peer), role, name]
    return [sys.executable if peer == "fast" else SYSTEM_PYTHON, str(PEERS / f"{peer}.py"), role, name]


class Program:
    """A running program. Its standard input stays open until it is stopped."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            list(arguments),
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.output = ""

    def read_until(self, text: str, meanwhile: Callable[[], object] | None = None) -> str:
        """Read its output until it contains ``text``; call ``meanwhile`` during pauses."""
        return self.read(lambda: text in self.output, meanwhile)

    def read_lines(self, count: int) -> list[str]:
        """Read this number of lines."""
        return self.read(lambda: self.output.count("\n") >= count).splitlines()

    def read(self, enough: Callable[[], bool], meanwhile: Callable[[], object] | None = None) -> str:
        """Read its output until ``enough`` returns true, and return all of it."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + DEADLINE
        while not enough():
            assert time.monotonic() < deadline, f"not enough: {self.output!r}"
            if select.select([self.process.stdout], [], [], 0.05 if meanwhile else DEADLINE)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                assert data, f"the program has ended: {self.output!r}"
                self.output += data.decode(errors="replace")
            elif meanwhile:
                meanwhile()
        return self.output

    def read_all(self) -> str:
        """Read its output to the end."""
        assert self.process.stdout is not None
        self.output += self.process.stdout.read().decode(errors="replace")
        return self.output

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
