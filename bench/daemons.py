"""The compared daemons: start, processes in /proc, and end."""

from __future__ import annotations

import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from .broker import Controller
from .settings import Setting

CHECKOUT = Path(__file__).resolve().parent.parent
MACHINE_ID = "0123456789abcdef0123456789abcdef"
START_DEADLINE = 20.0  # seconds
BROKER = "dbus-broker"
OURS = "omnibusd"
FOREGROUND = "--nofork --nopidfile --config-file={config}"
COMMANDS = {
    "dbus-daemon": f"dbus-daemon {FOREGROUND}",
    BROKER: BROKER,
    OURS: f"{shlex.quote(str(CHECKOUT / '.venv/bin/omnibusd'))} {FOREGROUND}",
}
"""Names and command lines; a bare dbus-broker is started by hand."""


def installed() -> list[str]:
    """Return the known daemons that are installed."""
    return [name for name, command in COMMANDS.items() if shutil.which(shlex.split(command)[0])]


def version(name: str) -> str:
    """Return the first line that a known daemon prints with --version."""
    command = [shlex.split(COMMANDS[name])[0], "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.partition("\n")[0]


class Daemon:
    """One daemon with one configuration."""

    def __init__(self, name: str, command: str, setting: Setting, directory: Path) -> None:
        self.name = name
        self.command = command
        self.setting = setting
        self.directory = directory
        self.socket = directory / "bus"
        self._controller: Controller | None = None
        directory.mkdir()
        directory.chmod(0o755)
        self.config = setting.write(directory, self.socket)
        self._log = (directory / "log").open("wb")
        self._process = self._start()
        self._wait()

    @property
    def address(self) -> str:
        """The address it listens on."""
        return f"{self.setting.transport}:path={self.socket}"

    @property
    def starts(self) -> Path:
        """Where the names that are to be started are sent, if the daemon does not tell systemd."""
        return self.directory / "starts"

    @property
    def pid(self) -> int:
        """The daemon's process."""
        return self._process.pid

    def controller_cpu(self) -> float:
        """Return the CPU time of dbus-broker's controller, in seconds; of the others 0."""
        return self._controller.cpu() if self._controller else 0.0

    def log(self) -> str:
        """Return its output."""
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    def alive(self) -> bool:
        """Return whether it still runs."""
        return self._process.poll() is None

    def pids(self) -> list[int]:
        """Return the daemon and its descendants."""
        found: list[int] = []
        todo = [self._process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    todo += map(int, children.read_text().split())
                except OSError:
                    continue  # the thread has ended
        return found

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._controller:
            self._controller.close()
        self._log.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self.command == BROKER:
            return self._start_broker()
        parts = {"config": str(self.config), "socket": str(self.socket), "address": self.address}
        return self._spawn([part.format(**parts) for part in shlex.split(self.command)])

    def _start_broker(self) -> subprocess.Popen[bytes]:
        ours, other = socket.socketpair()
        self._controller = Controller(ours, self.setting.files, self.setting.activatable, str(self.starts))
        with other, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket))
            listener.listen(4096)
            self.socket.chmod(0o777)
            listener.setblocking(False)
            number = str(other.fileno())
            command = [BROKER, "--controller", number, "--machine-id", MACHINE_ID, *self.setting.broker]
            process = self._spawn(command, [other.fileno()])
            self._controller.listen(listener)
        return process

    def _spawn(self, command: Sequence[str], fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, pass_fds=fds
        )

    def _wait(self) -> None:
        end = time.monotonic() + START_DEADLINE
        kind = socket.SOCK_STREAM if self.setting.transport == "unix" else socket.SOCK_SEQPACKET
        while True:
            with socket.socket(socket.AF_UNIX, kind) as probe:
                try:
                    probe.connect(str(self.socket))
                    return
                except OSError:
                    if not self.alive() or time.monotonic() > end:
                        raise SystemExit(f"{self.name} did not start:\n{self.log()}") from None
            time.sleep(0.02)
