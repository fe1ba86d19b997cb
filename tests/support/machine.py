"""A booted systemd in a container (systemd-nspawn), and commands in it."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from support.overlay import Overlay
from support.raw import Client, Closed

BOOT_DEADLINE = 90.0  # seconds
COMMAND_DEADLINE = 60.0
HIERARCHIES = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
REBOOT = 133  # systemd-nspawn's exit status
SYSTEMD = ("--boot", "--notify-ready=yes", "systemd.unit=omnibus-test.target")
SYSTEM_BUS = "/run/dbus/system_bus_socket"
_numbers = itertools.count(1)

Done = subprocess.CompletedProcess[str]


def wait_until(condition: Callable[[], Any], what: str, deadline: float = COMMAND_DEADLINE) -> Any:
    """Poll until the condition's result is true, and return it."""
    end = time.monotonic() + deadline
    while not (result := condition()):
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.05)
    return result


class Cgroup:
    """A control group for each container, so that no two share one; under systemd, systemd makes it."""

    def __init__(self, name: str) -> None:
        self.paths: list[Path] = []
        if Path("/run/systemd/system").exists():
            return
        for hierarchy in HIERARCHIES:
            if Path(hierarchy, "cgroup.procs").exists():
                self.paths.append(Path(hierarchy, name))
                self.paths[-1].mkdir()

    def enter(self) -> None:
        """Move this process into it."""
        for path in self.paths:
            (path / "cgroup.procs").write_text("0")

    def remove(self) -> None:
        """Remove it and the subgroups that the container has left."""
        for path in self.paths:
            for directory, _, _ in os.walk(path, topdown=False):
                with contextlib.suppress(OSError):  # a process in it is about to exit
                    os.rmdir(directory)


class Notifications:
    """sd_notify messages of a container manager; read at once, because it waits until they are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: queue.Queue[str] = queue.Queue()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while text := self._socket.recv(4096):
            for line in text.decode().splitlines():
                self.lines.put(line)

    def close(self) -> None:
        """Stop reading."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()


class Machine:
    """A machine with an overlay as its root. ``boot`` it first; ``stop`` it at the end."""

    def __init__(self, overlay: Overlay, binds: Sequence[str] = (), init: Sequence[str] = SYSTEMD) -> None:
        self.overlay = overlay
        self._init = init
        self._binds = [f"--bind-ro={one}" for one in binds]
        self.name = f"omnibus-{os.getpid()}-{next(_numbers)}"
        self.console = overlay.root.parent / "console"
        self.leader = 0
        self._cgroup = Cgroup(self.name)
        self._notifications = Notifications(overlay.root.parent / "notify")
        self._process: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Start it and wait until it reports that it has started."""
        command = ["setpriv", "--pdeathsig", "KILL", "systemd-nspawn", *self._options(), *self._init]
        with self.console.open("wb") as console:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": str(self._notifications.path),
                    "SYSTEMD_LOG_LEVEL": "warning",
                },
                preexec_fn=self._cgroup.enter,
                start_new_session=True,
            )
        self.wait_for_boot()

    def _options(self) -> list[str]:
        options = [
            "--quiet",
            "--register=no",
            "--private-network",
            "--link-journal=no",
            "--console=read-only",
        ]
        options += [f"--directory={self.overlay.root}", f"--machine={self.name}", *self._binds]
        return [*options, "--keep-unit"] if self._cgroup.paths else options

    def wait_for_boot(self) -> None:
        """Wait until systemd is reachable and reports that it has started."""
        self.leader = int(self._hear("X_NSPAWN_LEADER_PID="))
        self._hear("READY=1")

    def _hear(self, beginning: str) -> str:
        """Wait for a line of the container manager, and return its remainder."""
        assert self._process
        end = time.monotonic() + BOOT_DEADLINE
        while True:
            alive = self._process.poll() is None
            try:
                line = self._notifications.lines.get(timeout=0.2)
            except queue.Empty:
                console = self.console.read_text(errors="replace")
                assert alive and time.monotonic() < end, f"no {beginning}: {console}"
                continue
            if line.startswith(beginning):
                return line.removeprefix(beginning)

    def enter(self, *arguments: str, user: str = "root") -> list[str]:
        """Return the prefix that runs a command inside."""
        enter = [
            "nsenter",
            f"--target={self.leader}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
        ]
        enter += ["--root", "setpriv", "--pdeathsig", "KILL"]
        environment = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin",
            "LC_ALL=C.UTF-8",
            "SYSTEMD_PAGER=",
        ]
        if user != "root":
            uid = self.uid(user)
            enter += [f"--reuid={uid}", f"--regid={uid}", "--init-groups"]
            environment += [f"HOME=/home/{user}", f"USER={user}", f"XDG_RUNTIME_DIR=/run/user/{uid}"]
            environment.append(f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus")
        return [*enter, "env", "-i", "--chdir=/", *environment, *arguments]

    def run(self, *arguments: str, user: str = "root", status: int | None = 0) -> Done:
        """Run a program inside to its end; check its exit status unless that is None."""
        done = subprocess.run(
            self.enter(*arguments, user=user),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_DEADLINE,
        )
        assert status is None or done.returncode == status, f"{arguments}: {done}\n{self.journal()}"
        return done

    def output(self, *arguments: str, user: str = "root") -> str:
        """Run a program inside and return its output without the final newline."""
        return self.run(*arguments, user=user).stdout.rstrip("\n")

    def property(self, unit: str, name: str, *options: str, user: str = "root") -> str:
        """Return a property of a unit."""
        return self.output("systemctl", *options, "show", f"--property={name}", "--value", unit, user=user)

    def main_pid(self, unit: str, *options: str, user: str = "root") -> int:
        """Return the main process of a unit, 0 if it has none."""
        return int(self.property(unit, "MainPID", *options, user=user))

    def bus(self, *options: str, user: str = "root") -> str:
        """Return the program that a bus is, by its unit's main process; that may be omnibusd's standby.

        Empty if there is none, or none any more.
        """
        pid = self.main_pid("dbus.service", *options, user=user)
        if not pid:
            return ""
        try:
            name = self.outside(f"/proc/{pid}/comm").read_text().rstrip("\n")
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "omnibusd" if name == "omnibus-standby" else name

    def threads(self, pid: int) -> list[int]:
        """Return the threads of a process, the main thread first, by their IDs outside."""
        own = os.readlink(f"/proc/{self.leader}/ns/pid")
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(process / "ns/pid") != own:
                    continue
                lines = (process / "status").read_text().splitlines()
                if next(line for line in lines if line.startswith("NSpid:")).split()[-1] == str(pid):
                    return sorted(int(task.name) for task in (process / "task").iterdir())
        raise LookupError(pid)

    def uid(self, user: str) -> int:
        """Return the uid of a user of the machine."""
        for line in self.overlay.path("/etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == user:
                return int(fields[2])
        raise LookupError(user)

    def bus_serves(self) -> bool:
        """Ask the system's bus whether systemd is connected."""
        try:
            client = Client(self.address())
        except (OSError, Closed):
            return False
        with contextlib.closing(client):
            return "org.freedesktop.systemd1" in client.driver("ListNames")

    def address(self, path: str = SYSTEM_BUS) -> str:
        """Return the address of an inner socket for a client outside."""
        return f"unix:path=/proc/{self.leader}/root{path}"

    def outside(self, path: str) -> Path:
        """Return the path outside of a file inside, also below /run and /tmp."""
        return Path(f"/proc/{self.leader}/root{path}")

    def journal(self, *options: str) -> str:
        """Return the newest lines of the journal."""
        command = self.enter("journalctl", "--no-pager", "--lines=60", "--output=short-monotonic", *options)
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_DEADLINE).stdout

    def reboot(self) -> None:
        """Reboot it cleanly."""
        assert self._process
        self.run("systemctl", "reboot", status=None)
        if not self._cgroup.paths:
            self.wait_for_boot()
            return
        # Without a service manager outside, the caller has to start it again.
        assert self._process.wait(BOOT_DEADLINE) == REBOOT
        self.boot()

    def power_off(self) -> None:
        """Shut it down cleanly, as by its power button; raise TimeoutExpired if it doesn't end."""
        assert self._process
        self._process.terminate()
        self._process.wait(BOOT_DEADLINE)

    def end(self, number: signal.Signals) -> int:
        """Send a signal to process 1, and return its exit status."""
        assert self._process
        os.kill(self.leader, number)
        return self._process.wait(BOOT_DEADLINE)

    def stop(self) -> None:
        """End it in whatever state it is in."""
        if self._process and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader or self._process.pid, signal.SIGKILL)
            self._process.wait(BOOT_DEADLINE)
        self._notifications.close()
        self._cgroup.remove()
        with contextlib.suppress(OSError):
            os.rmdir(f"/run/systemd/nspawn/propagate/{self.name}")


@contextlib.contextmanager
def running(overlay: Overlay, binds: Sequence[str] = (), init: Sequence[str] = SYSTEMD) -> Iterator[Machine]:
    """Boot a machine, and end it afterwards.

    ``binds`` are pairs of a path outside and one inside, as outside:inside. ``init`` is the program to run,
    preceded by systemd-nspawn's options.
    """
    machine = Machine(overlay, binds, init)
    try:
        machine.boot()
        yield machine
    finally:
        machine.stop()


def run_in(root: Path, *arguments: str, binds: Sequence[str] = ()) -> None:
    """Run a program in a root file system that isn't booted."""
    cgroup = Cgroup(f"omnibus-{os.getpid()}-{next(_numbers)}")
    options = [
        "--quiet",
        "--register=no",
        "--private-network",
        "--link-journal=no",
        "--pipe",
        f"--directory={root}",
    ]
    options += [f"--bind-ro={one}" for one in binds]
    if cgroup.paths:
        options.append("--keep-unit")
    try:
        done = subprocess.run(
            ["systemd-nspawn", *options, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            preexec_fn=cgroup.enter,
            timeout=BOOT_DEADLINE,
        )
    finally:
        cgroup.remove()
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
