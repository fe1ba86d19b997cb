"""Conditions at the start: odd environments and descriptors, other users, files that disappear."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import config, private_directory, start
from support.group import entries
from support.raw import BUS

from .conftest import StartDaemon


@pytest.fixture
def directory() -> Iterator[Path]:
    path = private_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


class TestEnvironment:
    def test_empty(self, start_daemon: StartDaemon) -> None:
        """The bus starts without any environment variable."""
        assert start_daemon(env={}).connect().driver("GetId")

    def test_unreadable_home(self, start_daemon: StartDaemon, directory: Path) -> None:
        """HOME may be unreadable or missing."""
        closed = directory / "closed"
        closed.mkdir(mode=0)
        for home in (str(closed), "/nonexistent", ""):
            assert start_daemon(env={"HOME": home}).connect().driver("GetId")

    def test_from_any_directory(self, start_daemon: StartDaemon, directory: Path) -> None:
        """The current directory doesn't matter, even if it contains a module of the same name as ours."""
        for module in ("omnibus", "policy", "asyncio", "select"):
            (directory / f"{module}.py").write_text("raise SystemExit('the wrong module')\n")
        for place in ("/", str(directory)):
            assert start_daemon(cwd=place).connect().driver("GetId")

    def test_directory_that_is_gone(self, start_daemon: StartDaemon, directory: Path) -> None:
        gone = directory / "gone"
        gone.mkdir()
        shell = f"cd {gone} && rmdir {gone}"
        assert start_daemon(shell=shell).connect().driver("GetId")

    def test_unknown_descriptors(self, start_daemon: StartDaemon, directory: Path) -> None:
        """Inherited descriptors have no effect, and services don't inherit them."""
        read, write = os.pipe()
        high = os.dup2(write, 200)
        os.close(write)
        daemon = start_daemon(pass_fds=(read, high))
        os.close(high)
        os.close(read)
        assert daemon.connect().driver("GetId")


class TestConfigurationFile:
    def test_in_memory(self, start_daemon: StartDaemon, directory: Path) -> None:
        """The configuration may be a descriptor of the bus itself."""
        memory = os.memfd_create("bus.conf", 0)
        os.write(memory, config(f"unix:path={directory}/bus").encode())
        daemon = start_daemon(None, f"--config-file=/proc/self/fd/{memory}", pass_fds=(memory,))
        os.close(memory)
        assert daemon.connect().driver("GetId")

    def test_deleted(self, start_daemon: StartDaemon) -> None:
        """Once the address is printed, the configuration is no longer needed."""
        daemon = start_daemon()
        (daemon.directory / "bus.conf").unlink()
        assert daemon.connect().driver("GetId")
        assert daemon.terminate() == 0


class TestIdentity:
    def test_pid_is_that_of_the_child(self, start_daemon: StartDaemon) -> None:
        """The bus is the process that was started, and no child of it."""
        daemon = start_daemon()
        assert daemon.connect().driver("GetConnectionUnixProcessID", "s", BUS) == daemon.pid

    def test_id_is_in_the_address(self, start_daemon: StartDaemon) -> None:
        """The GUID of the address is sent to each client; GetId is the unique ID of the bus."""
        daemon = start_daemon()
        client = daemon.connect()
        assert client.guid == daemon.guid
        assert len(client.driver("GetId")) == 32
        assert int(client.driver("GetId"), 16)

    def test_each_start_has_its_own_id(self, start_daemon: StartDaemon) -> None:
        one, two = start_daemon(), start_daemon()
        assert one.guid != two.guid
        assert one.connect().driver("GetId") != two.connect().driver("GetId")

    def test_unprivileged(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """Any user may run a bus, whatever files it can't read."""
        directory = private_directory()
        os.chown(directory, unprivileged, unprivileged)
        daemon = start_daemon(
            directory=directory,
            user=unprivileged,
            group=unprivileged,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin"},
        )
        client = daemon.connect()
        assert client.driver("GetConnectionUnixUser", "s", BUS) == unprivileged
        assert client.driver("GetConnectionUnixUser", "s", client.unique) == 0

    def test_descriptor_limit_is_raised(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """The soft limit on descriptors becomes the hard limit, up to 65536."""
        directory = private_directory()
        os.chown(directory, unprivileged, unprivileged)
        daemon = start_daemon(
            directory=directory,
            shell="ulimit -Sn 300; ulimit -Hn 3000",
            user=unprivileged,
            group=unprivileged,
            extra_groups=[],
        )
        daemon.connect()
        limits = Path(f"/proc/{daemon.pid}/limits").read_text()
        (line,) = (one for one in limits.splitlines() if one.startswith("Max open files"))
        assert line.split()[3:5] == ["3000", "3000"]


class TestUser:
    """<user>: the account that the bus runs as once it has started; it must work without root's rights."""

    @pytest.fixture
    def account(self, unprivileged: int) -> pwd.struct_passwd:
        return pwd.getpwuid(unprivileged)

    @pytest.fixture
    def status(self, start_daemon: StartDaemon, account: pwd.struct_passwd) -> dict[str, list[str]]:
        daemon = start_daemon(config("unix:path={dir}/bus", extra=f"<user>{account.pw_name}</user>"))
        client = daemon.connect()
        assert client.driver("GetConnectionUnixUser", "s", BUS) == account.pw_uid
        assert client.own("org.example.Service") == 1
        lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
        return {key: values.split() for key, _, values in (line.partition(":\t") for line in lines)}

    def test_user_and_groups(self, status: dict[str, list[str]], account: pwd.struct_passwd) -> None:
        assert set(status["Uid"]) == {str(account.pw_uid)}
        assert set(status["Gid"]) == {str(account.pw_gid)}
        assert "0" not in status["Groups"]

    def test_capabilities(self, status: dict[str, list[str]]) -> None:
        """Of all capabilities only CAP_AUDIT_WRITE (29) may be kept."""
        for kind in ("CapPrm", "CapEff"):
            assert int(status[kind][0], 16) & ~(1 << 29) == 0

    def test_all_threads(self, start_daemon: StartDaemon, account: pwd.struct_passwd) -> None:
        """No thread keeps the privileges that the process has dropped."""
        daemon = start_daemon(config("unix:path={dir}/bus", extra=f"<user>{account.pw_name}</user>"))
        daemon.connect()
        seen = set()
        for task in Path(f"/proc/{daemon.pid}/task").iterdir():
            try:
                lines = (task / "status").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):  # a thread that is idle ends
                continue
            assert f"Uid:\t{account.pw_uid}\t{account.pw_uid}\t{account.pw_uid}\t{account.pw_uid}" in lines
            seen.add(int(task.name))
        assert daemon.pid in seen
        assert len(seen) > 1

    def test_unprivileged_bus_keeps_its_user(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """A bus that isn't started by root keeps its user."""
        directory = private_directory()
        os.chown(directory, unprivileged, unprivileged)
        daemon = start_daemon(
            config("unix:path={dir}/bus", extra="<user>daemon</user>"),
            directory=directory,
            user=unprivileged,
            group=unprivileged,
            extra_groups=[],
        )
        assert daemon.connect().driver("GetConnectionUnixUser", "s", BUS) == unprivileged


class TestSessionServices:
    def test_transient_directory(self, start_daemon: StartDaemon, directory: Path) -> None:
        """<standard_session_servicedirs/>: the bus makes $XDG_RUNTIME_DIR/dbus-1/services."""
        environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(directory)}
        text = config("unix:path={dir}/bus", extra="<standard_session_servicedirs/>")
        start_daemon(text, env=environment)
        services = directory / "dbus-1" / "services"
        assert services.is_dir()
        assert services.stat().st_mode & 0o077 == 0


class TestDuration:
    def test_listening_within_150_ms(self, executable: str) -> None:
        """The address is printed within 150 ms, not counting the time the bus waited for a CPU."""
        assert any(self.duration(executable) < 0.15 for _ in range(10))

    def duration(self, executable: str) -> float:
        """Start a bus and return the seconds until it prints its address."""
        began = time.monotonic()
        daemon = start(executable, config("unix:path={dir}/bus"))
        seconds = time.monotonic() - began
        _, waited, _ = Path(f"/proc/{daemon.pid}/schedstat").read_text().split()
        daemon.stop()
        return seconds - int(waited) / 1e9


class TestEnd:
    def test_nothing_is_left(self, start_daemon: StartDaemon) -> None:
        """At the end all sockets are removed, and no child is left."""
        daemon = start_daemon(config("unix:path={dir}/one", "unix:dir={dir}", "unix:path={dir}/two"))
        daemon.connect()
        assert len(entries(daemon.directory)) == 5
        assert daemon.terminate() == 0
        assert sorted(path.name for path in daemon.directory.iterdir()) == ["bus.conf", "stderr"]
        found = subprocess.run(
            ["ps", "--ppid", str(daemon.pid), "-o", "pid="], capture_output=True, text=True
        )
        assert found.stdout == ""
