"""A machine, a limit or a sandbox denies the bus something: it serves, or prints why it can't start."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.command_line import CommandLine
from support.daemon import Daemon, config, private_directory, start
from support.namespace import namespace_script, other_etc
from support.raw import BUS, BUS_PATH, DEADLINE, ERROR, BusError
from support.sandbox import sandboxed

from .conftest import StartDaemon

ECHO = "org.example.Echo"
Begin = Callable[..., Daemon]
ID = "0123456789abcdef" * 2
ADVICE = (
    "D-Bus library appears to be incorrectly set up:"
    " see the manual page for dbus-uuidgen to correct this issue."
)


def serving(daemon: Daemon, *, starts: bool = True) -> None:
    """Check the services of each plane, and those of other processes."""
    client, other = daemon.connect(), daemon.connect()
    assert client.driver("GetConnectionCredentials", "s", client.unique)["UnixUserID"].value == os.geteuid()
    serial = client.start_call(other.unique, "Hail")
    other.reply(other.expect(member="Hail"))
    client.expect(type=2, reply_serial=serial)
    assert ECHO in client.driver("ListActivatableNames")
    client.driver("ReloadConfig")
    client.driver("ReloadConfig")
    if starts:
        client.call(ECHO, "Ping", interface="org.freedesktop.DBus.Peer", path="/")
    else:
        with pytest.raises(BusError) as caught:
            client.call(ECHO, "Ping", interface="org.freedesktop.DBus.Peer", path="/")
        assert caught.value.name == ERROR + "Spawn.ForkFailed"
    for _ in range(12):
        assert daemon.connect().driver("GetId")
    assert daemon.terminate() == 0
    assert "Traceback" not in daemon.stderr


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a service in it; it is the daemon's and removed with it."""
    found = private_directory()
    (found / "services").mkdir()
    (found / "services" / f"{ECHO}.service").write_text(
        f"[D-BUS Service]\nName={ECHO}\nExec=/usr/bin/dbus-test-tool echo --session --name={ECHO}\n"
    )
    yield found


@pytest.fixture
def begin(executable: str, directory: Path) -> Iterator[Begin]:
    """Start a daemon with that service, optionally in a wrapper that denies it something."""
    with ExitStack() as stack:

        def go(wrapped: str = "", **options: object) -> Daemon:
            text = config("unix:path={dir}/bus", extra="<servicedir>{dir}/services</servicedir>")
            daemon = start(wrapped or executable, text, directory=directory, **options)
            stack.callback(daemon.stop)
            return daemon

        yield go


class TestFiles:
    def test_no_proc(self, executable: str, directory: Path, begin: Begin) -> None:
        """/proc is not mounted, as in a chroot."""
        serving(begin(namespace_script(directory / "daemon", executable, "mount -t tmpfs none /proc")))

    def test_no_dev(self, executable: str, cli: CommandLine) -> None:
        """Without /dev/null it does not start, and prints the reason first."""
        wrapped = namespace_script(cli.directory / "daemon", executable, "mount -t tmpfs none /dev")
        command = [wrapped, f"--config-file={cli.conf}", "--nofork", "--print-address"]
        done = subprocess.run(
            command, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=DEADLINE
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "Failed to open /dev/null: No such file or directory" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not cli.socket.exists()

    @pytest.mark.deviation("own-account")
    def test_no_account(self, directory: Path, begin: Begin) -> None:
        """The user of the bus is unknown to the user database and has no HOME, as in a container."""
        os.chown(directory, 54323, 54323)
        daemon = begin(user=54323, group=54323, extra_groups=[], env={"PATH": os.environ["PATH"]})
        serving(daemon)


class TestMachineId:
    """GetMachineId with the files of various machines."""

    @pytest.fixture
    def ask(self, executable: str, directory: Path, begin: Begin) -> Callable[[str], str]:
        def asked(text: str) -> str:
            (directory / "id").write_text(text)
            commands = (
                *other_etc(directory, machine_id=directory / "id"),
                "! test -d /var/lib/dbus || mount -t tmpfs none /var/lib/dbus",
            )
            daemon = begin(namespace_script(directory / "daemon", executable, *commands))
            return str(daemon.connect().driver("GetMachineId", interface="org.freedesktop.DBus.Peer"))

        return asked

    @pytest.mark.parametrize("text", [ID, f"{ID}\n", f"{ID.upper()}\n", f"{ID}\r\n", f" {ID}\t\n"])
    def test_id(self, ask: Callable[[str], str], text: str) -> None:
        """Case and white space are ignored."""
        assert ask(text) == ID

    @pytest.mark.parametrize(("text", "length"), [("", 0), ("uninitialized\n", 13), (f"{ID}\nx\n", 34)])
    def test_length(self, ask: Callable[[str], str], text: str, length: int) -> None:
        with pytest.raises(BusError) as caught:
            ask(text)
        assert caught.value.name == ERROR + "InvalidFileContent"
        assert caught.value.text == (
            f'{ADVICE} (Failed to open "/var/lib/dbus/machine-id": No such file or directory; UUID file'
            f" '/etc/machine-id' should contain a hex string of length 32, not length {length},"
            " with no other text)"
        )

    def test_no_digits(self, ask: Callable[[str], str]) -> None:
        with pytest.raises(BusError) as caught:
            ask("g" * 32)
        assert caught.value.name == ERROR + "InvalidFileContent"
        assert caught.value.text.endswith("UUID file '/etc/machine-id' contains invalid hex data)")


class TestLimits:
    def test_no_process(self, directory: Path, begin: Begin, unprivileged: int) -> None:
        """No process and no thread can be created: services can't be started, all else works."""
        os.chown(directory, unprivileged, unprivileged)
        serving(
            begin(shell="ulimit -u 1", user=unprivileged, group=unprivileged, extra_groups=[]), starts=False
        )


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=["EPERM", "ENOSYS"])
@pytest.mark.parametrize(
    "call",
    [
        "clone3",
        "close_range",
        "eventfd2",
        "inotify_init1",
        "memfd_create",
        "pidfd_open",
        "pidfd_send_signal",
        "prlimit64",
        "sched_setscheduler",
        "setpriority",
        "sigaltstack",
        "timerfd_create",
    ],
)
def test_sandbox(executable: str, directory: Path, begin: Begin, call: str, error: int) -> None:
    """A sandbox forbids a system call, or is older than the call and reports it as unknown."""
    serving(begin(sandboxed(executable, directory / "daemon", call, error)))


class TestListenFds:
    """$LISTEN_FDS applies to a bus with an address systemd: only; it may be set for an earlier process."""

    @pytest.mark.parametrize(
        "environment",
        [
            {"LISTEN_PID": "1", "LISTEN_FDS": "abc"},
            {"LISTEN_PID": "1", "LISTEN_FDS": "-1"},
            {"LISTEN_PID": "1", "LISTEN_FDS": "1 "},
            {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
            {"LISTEN_PID": "abc", "LISTEN_FDS": "1"},
            {"LISTEN_PID": " 1", "LISTEN_FDS": "1"},
            {"LISTEN_PID": "99999999999999999999", "LISTEN_FDS": "1"},
            {"LISTEN_FDS": "1"},
            {"LISTEN_PID": "", "LISTEN_FDS": ""},
        ],
        ids=str,
    )
    def test_of_another_process(self, start_daemon: StartDaemon, environment: dict[str, str]) -> None:
        daemon = start_daemon(env={**os.environ, **environment})
        assert daemon.connect().driver("GetId")

    @pytest.mark.parametrize("count", ["0", "2", "1000000", "x"])
    def test_of_a_script(self, start_daemon: StartDaemon, count: str) -> None:
        """The script has closed the descriptors that it was passed."""
        daemon = start_daemon(shell=f"exec 3>&-; export LISTEN_PID=$$ LISTEN_FDS={count}")
        assert daemon.connect().driver("GetConnectionUnixProcessID", "s", BUS) == daemon.pid


class TestForeignProcess:
    """A client in a PID namespace that the bus can't see into."""

    def ask(self, executable: str, directory: Path, begin: Begin, member: str) -> object:
        script = directory / "daemon"
        script.write_text(f'#!/bin/sh\nexec unshare --pid --fork --kill-child {executable} "$@"\n')
        script.chmod(0o755)
        client = begin(str(script)).connect()
        return client.driver(member, "s", client.unique)

    @pytest.mark.deviation("foreign-process")
    def test_process_id(self, executable: str, directory: Path, begin: Begin) -> None:
        """Its process ID is unknown: 0 is no process ID."""
        if os.geteuid() != 0:
            pytest.skip("needs root, for a PID namespace")
        with pytest.raises(BusError) as caught:
            self.ask(executable, directory, begin, "GetConnectionUnixProcessID")
        assert caught.value.name == ERROR + "UnixProcessIdUnknown"

    def test_user(self, executable: str, directory: Path, begin: Begin) -> None:
        """Its uid is known all the same."""
        if os.geteuid() != 0:
            pytest.skip("needs root, for a PID namespace")
        assert self.ask(executable, directory, begin, "GetConnectionUnixUser") == 0


def test_absent_name(start_daemon: StartDaemon) -> None:
    """Each call is answered; the error for an absent name may arrive after later replies."""
    client = start_daemon().connect()
    for _ in range(10):
        absent = client.start_call("org.example.Absent", "Hail")
        known = client.start_call(BUS, "GetId", interface=BUS, path=BUS_PATH)
        client.expect_error(absent, ERROR + "ServiceUnknown")
        assert client.reply_to(known).body
