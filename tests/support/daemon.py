"""Daemons under test: configuration text, start, and an end that leaves no process or file behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.addresses import guid
from support.raw import DEADLINE, Client
from support.rules import PASSING

DOCTYPE = (
    '<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">\n'
)
PR_SET_CHILD_SUBREAPER = 36
OPEN_POLICY = """<policy context="default">
  <allow send_destination="*" eavesdrop="true"/>
  <allow eavesdrop="true"/>
  <allow own="*"/>
  <allow user="*"/>
</policy>"""
STRICT_POLICY = f"""<policy context="default">
  <allow user="*"/>
  <allow own="*"/>
  <allow send_type="method_call"/>
{PASSING}
</policy>"""
WIDE_LIMITS = {
    "max_incoming_bytes": 1000000000,
    "max_incoming_unix_fds": 250000000,
    "max_outgoing_bytes": 1000000000,
    "max_outgoing_unix_fds": 250000000,
    "max_message_size": 1000000000,
    "max_completed_connections": 100000,
    "max_incomplete_connections": 10000,
    "max_connections_per_user": 100000,
    "max_names_per_connection": 50000,
    "max_match_rules_per_connection": 50000,
    "max_replies_per_connection": 50000,
}


def config(
    *listen: str,
    type: str = "session",
    policy: str = OPEN_POLICY,
    limits: Mapping[str, int] | None = None,
    extra: str = "",
    auth: str = "<auth>EXTERNAL</auth>",
) -> str:
    """Return a configuration; ``limits`` override those of a session bus one by one."""
    lines = [f"<listen>{address}</listen>" for address in listen]
    lines += [
        f'<limit name="{name}">{value}</limit>' for name, value in (WIDE_LIMITS | dict(limits or {})).items()
    ]
    return (
        f"{DOCTYPE}<busconfig>\n<type>{type}</type>\n{auth}\n"
        + "\n".join([*lines, policy, extra])
        + "\n</busconfig>\n"
    )


def private_directory() -> Path:
    """Make a directory that other users can enter, with a name short enough for a socket's path."""
    path = Path(tempfile.mkdtemp(prefix="bus-"))
    path.chmod(0o755)
    return path


def read_line(fd: int, deadline: float = DEADLINE) -> str:
    """Read one line from a descriptor, byte by byte so that no later data is consumed; "" at its end."""
    line = b""
    end = time.monotonic() + deadline
    while not line.endswith(b"\n"):
        if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            raise TimeoutError(f"no whole line, only {line!r}")
        byte = os.read(fd, 1)
        if not byte:
            break
        line += byte
    return line.decode()


def children(of: int | None = None) -> set[int]:
    """Return the child processes of all threads of a process, ours by default; a thread may end meanwhile."""
    found: set[int] = set()
    for path in Path(f"/proc/{of or 'self'}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found |= set(map(int, path.read_text().split()))
    return found


@contextlib.contextmanager
def adoption() -> Iterator[None]:
    """Become a subreaper, and end all remaining descendants at the end."""
    before = children()
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        while left := children() - before:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def end_process(pid: int, how: int = signal.SIGTERM) -> None:
    """Send a signal to a daemon that forked, and wait for its end; do nothing if it has ended before."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, how)
        if not select.select([handle], [], [], DEADLINE)[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            raise AssertionError(f"process {pid} did not end")
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    finally:
        os.close(handle)


@dataclass
class Daemon:
    """A running daemon. ``address`` is what it printed; its ``directory`` is removed with it."""

    process: subprocess.Popen[bytes]
    address: str
    directory: Path
    clients: list[Client] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def guid(self) -> str:
        return guid(self.address)

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr").read_text(errors="replace")

    def connect(self, **options: Any) -> Client:
        """Make a client that is closed with the daemon at the latest."""
        client = Client(self.address, **options)
        self.clients.append(client)
        return client

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment with this bus as the session bus."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "DBUS_SESSION_BUS_ADDRESS": self.address, **more}

    def open_files(self) -> int:
        """Count its descriptors, except the follower of service directories and the configuration's watch.

        The watch begins a second after the start. Another one appears where libffi makes its trampolines from
        its own file.
        """
        others = ("anon_inode:inotify", "/libffi.so")
        return sum(not any(one in link for one in others) for link in self._descriptors())

    def watches(self) -> bool:
        """Return whether it watches the configuration: its work in the second after the start is done."""
        return self._descriptors().count("anon_inode:inotify") > 1  # the first follows service directories

    def _descriptors(self) -> list[str]:
        links = []
        for entry in os.scandir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(entry.path))
        return links

    def memory(self) -> int:
        """Return the resident size in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def close_clients(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()

    def terminate(self) -> int:
        """Terminate it and return its exit status."""
        self.process.terminate()
        return self.process.wait(DEADLINE)

    def stop(self) -> None:
        """End it in whatever state it is in, and remove its directory."""
        self.close_clients()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def launch(
    executable: str,
    arguments: Sequence[str],
    directory: Path,
    shell: str = "",
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start the executable with stdout piped and stderr in ``directory``, without a session or system bus.

    ``shell`` is a shell command that runs before the executable in the same process.
    """
    command = [executable, *arguments]
    if shell:
        command = ["/bin/bash", "-c", shell + '; exec "$0" "$@"', *command]
    options.setdefault("env", {k: v for k, v in os.environ.items() if not k.startswith("DBUS_")})
    options.setdefault("stdin", subprocess.DEVNULL)
    with (directory / "stderr").open("wb") as stderr:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, **options)


def start(
    executable: str,
    text: str | None = None,
    arguments: Sequence[str] = (),
    directory: Path | None = None,
    **options: Any,
) -> Daemon:
    """Start a daemon and wait for its address.

    ``text`` is a configuration in which ``{dir}`` stands for the daemon's directory. Without it the arguments
    must name one.
    """
    directory = directory or private_directory()
    arguments = [one.replace("{dir}", str(directory)) for one in arguments]
    if text is not None:
        (directory / "bus.conf").write_text(text.replace("{dir}", str(directory)))
        arguments = [f"--config-file={directory}/bus.conf", *arguments]
    process = launch(executable, ["--nofork", "--print-address", *arguments], directory, **options)
    daemon = Daemon(process, "", directory)
    try:
        assert process.stdout is not None
        daemon.address = read_line(process.stdout.fileno()).rstrip("\n")
        assert daemon.address, f"no address, exit status {process.wait(DEADLINE)}: {daemon.stderr}"
    except BaseException:
        process.kill()
        daemon.stop()
        raise
    return daemon
