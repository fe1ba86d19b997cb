"""Daemons started with any command line, in the foreground or not."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from support.daemon import config, end_process, private_directory, read_line
from support.raw import DEADLINE, Client


class CommandLine:
    """A directory with a configuration, and the processes started with it."""

    def __init__(self, executable: str) -> None:
        self.executable = executable
        self.directory = private_directory()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pids: list[int] = []
        self.write()

    @property
    def conf(self) -> str:
        return str(self.directory / "bus.conf")

    @property
    def socket(self) -> Path:
        return self.directory / "bus"

    def write(self, *, extra: str = "", listen: str = "") -> None:
        Path(self.conf).write_text(config(listen or f"unix:path={self.socket}", extra=extra))

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the daemon to its end, or to the exit of its parent process with --fork."""
        return subprocess.run(
            [self.executable, *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def begin(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start the daemon in the foreground."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen([self.executable, *arguments], stdin=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def finish(self, process: subprocess.Popen[bytes]) -> int:
        """Wait until the bus serves, and end it; return the exit status."""
        Client(f"unix:path={self.socket}").close()
        process.terminate()
        return process.wait(DEADLINE)

    def clean(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for pid in self.pids:
            end_process(pid)
        for path in self.directory.iterdir():
            path.unlink()
        self.directory.rmdir()


def line_of(process: subprocess.Popen[bytes]) -> str:
    """Read one line of the output of a process started by ``begin``."""
    assert process.stdout is not None
    return read_line(process.stdout.fileno())
