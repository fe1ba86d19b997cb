"""dbus-daemon(1), "OPTIONS": each option, how its value is given, and what goes to which descriptor."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.daemon import DEADLINE, adoption, config, end_process, private_directory, read_line
from support.raw import Client

OPTIONS = (
    "--version --session --system --config-file= --print-address --print-pid --introspect --address= --nopidfile "
    "--nosyslog --syslog --syslog-only --nofork --fork --systemd-activation"
).split()


class Place:
    """A directory with a configuration in it, and the processes that were started from there."""

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
        """Run the daemon to its end, or to the end of its parent with --fork."""
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


@pytest.fixture
def place(executable: str) -> Iterator[Place]:
    found = Place(executable)
    with adoption():
        yield found
        found.clean()


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return read_line(process.stdout.fileno())


class TestInformation:
    @pytest.mark.parametrize("option", ["--help", "-h", "-?"])
    def test_help(self, place: Place, option: str) -> None:
        """Usage goes to stderr, and the exit status is 1."""
        done = place.run(option)
        assert (done.returncode, done.stdout) == (1, "")
        assert all(f"[{one}" in done.stderr for one in OPTIONS)

    def test_version(self, place: Place) -> None:
        """Print the version of the daemon: on stdout, with exit status 0."""
        done = place.run("--version")
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"\d+\.\d+", done.stdout.splitlines()[0])

    def test_introspect(self, place: Place) -> None:
        """Print the introspection XML of all D-Bus internal interfaces."""
        done = place.run("--introspect")
        assert (done.returncode, done.stderr) == (0, "")
        root = ElementTree.fromstring(done.stdout)
        methods = {
            interface.get("name"): {method.get("name") for method in interface.iter("method")} for interface in root
        }
        assert {"Hello", "RequestName", "GetConnectionCredentials"} <= methods["org.freedesktop.DBus"]
        assert methods["org.freedesktop.DBus.Properties"] == {"Get", "GetAll", "Set"}
        assert methods["org.freedesktop.DBus.Peer"] == {"Ping", "GetMachineId"}
        assert methods["org.freedesktop.DBus.Introspectable"] == {"Introspect"}

    @pytest.mark.parametrize("option", ["--version", "--introspect"])
    def test_information_comes_at_once(self, place: Place, option: str) -> None:
        """What stands after --version or --introspect is not looked at."""
        assert place.run(option, "--bogus").returncode == 0


class TestMistakes:
    @pytest.mark.parametrize("argument", ["--bogus", "bogus", "-x", "--fork=yes", "--print-addresses"])
    def test_unknown_option(self, place: Place, argument: str) -> None:
        done = place.run(f"--config-file={place.conf}", argument)
        assert (done.returncode, done.stdout) == (1, "")
        assert "[--config-file=FILE]" in done.stderr

    @pytest.mark.parametrize("arguments", [(), ("--print-address",), ("--config-file",), ("--config-file=",)])
    def test_no_configuration(self, place: Place, arguments: tuple[str, ...]) -> None:
        done = place.run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("No configuration file specified.\n")
        assert "[--config-file=FILE]" in done.stderr

    @pytest.mark.parametrize(
        ("second", "text"),
        [
            (("--session",), "--session specified but configuration file {conf} already requested"),
            (("--system",), "--system specified but configuration file {conf} already requested"),
            (("--config-file=/x",), "--config-file specified but configuration file {conf} already requested"),
            (("--config-file", "/x"), "--config-file specified but configuration file {conf} already requested"),
            (("--address=a:", "--address=b:"), "--address specified but address a: already requested"),
            (("--address", "a:", "--address", "b:"), "--address specified but address a: already requested"),
            (
                ("--print-address=1", "--print-address=2"),
                "--print-address specified but printing address to 1 already requested",
            ),
            (("--print-pid=1", "--print-pid", "2"), "--print-pid specified but printing pid to 1 already requested"),
        ],
    )
    def test_said_twice(self, place: Place, second: tuple[str, ...], text: str) -> None:
        done = place.run(f"--config-file={place.conf}", *second)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.strip() == text.format(conf=place.conf)

    @pytest.mark.parametrize("option", ["--print-address", "--print-pid"])
    @pytest.mark.parametrize("value", ["abc", "-1", "1x", "99999999999999999999"])
    def test_no_descriptor_number(self, place: Place, option: str, value: str) -> None:
        done = place.run(f"--config-file={place.conf}", f"{option}={value}")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.strip() == f'Invalid file descriptor: "{value}"'

    def test_descriptor_not_open(self, place: Place) -> None:
        done = place.run(f"--config-file={place.conf}", "--nofork", "--print-address=77")
        assert done.returncode == 1
        assert "Failed to start message bus" in done.stderr
        assert "Bad file descriptor" in done.stderr
        assert not place.socket.exists()

    def test_no_such_file(self, place: Place) -> None:
        done = place.run("--config-file=/nonexistent/bus.conf", "--print-address")
        assert (done.returncode, done.stdout) == (1, "")
        assert "Failed to start message bus" in done.stderr
        assert '"/nonexistent/bus.conf": No such file or directory' in done.stderr


class TestConfigurationFile:
    @pytest.mark.parametrize("space", [False, True])
    def test_config_file(self, place: Place, space: bool) -> None:
        """Use the given configuration file; the value follows '=' or is the next argument."""
        named = ("--config-file", place.conf) if space else (f"--config-file={place.conf}",)
        process = place.begin(*named, "--nofork", "--print-address")
        assert line_of(process).startswith(f"unix:path={place.socket},guid=")
        assert place.finish(process) == 0

    def test_relative_file(self, place: Place) -> None:
        """A relative name is taken from the current directory."""
        process = place.begin("--config-file=bus.conf", "--nofork", "--print-address", cwd=place.directory)
        assert line_of(process).startswith("unix:path=")
        assert place.finish(process) == 0

    def test_session(self, place: Place) -> None:
        """Use the standard configuration file for the per-login-session message bus."""
        address = f"--address=unix:path={place.socket}"
        environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(place.directory)}
        process = place.begin("--session", address, "--nofork", "--print-address", "--nopidfile", env=environment)
        client = Client(line_of(process).rstrip())
        assert "org.freedesktop.DBus" in client.driver("ListNames")
        assert client.own("org.example.Session") == 1
        client.close()
        assert place.finish(process) == 0
        for path in ("dbus-1/services", "dbus-1"):
            (place.directory / path).rmdir()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
    def test_system(self, place: Place) -> None:
        """Use the standard configuration file for the systemwide message bus."""
        place.directory.chmod(0o777)
        address = f"--address=unix:path={place.socket}"
        process = place.begin("--system", address, "--nofork", "--print-address", "--nopidfile")
        client = Client(line_of(process).rstrip())
        assert "org.freedesktop.DBus" in client.driver("ListNames")
        assert client.driver("GetConnectionUnixUser", "s", "org.freedesktop.DBus") != 0
        client.close()
        assert place.finish(process) == 0


class TestAddress:
    @pytest.mark.parametrize("space", [False, True])
    def test_address(self, place: Place, space: bool) -> None:
        """Set the address to listen on; this overrides the one in the configuration file."""
        place.write(listen=f"unix:path={place.directory}/not-this")
        address = f"unix:path={place.socket}"
        given = ("--address", address) if space else (f"--address={address}",)
        process = place.begin(f"--config-file={place.conf}", *given, "--nofork", "--print-address")
        assert line_of(process).startswith(address)
        assert sorted(path.name for path in place.directory.iterdir()) == ["bus", "bus.conf"]
        assert place.finish(process) == 0

    def test_listen_is_needed_nevertheless(self, place: Place) -> None:
        Path(place.conf).write_text(config())
        done = place.run(f"--config-file={place.conf}", f"--address=unix:path={place.socket}", "--nofork")
        assert done.returncode == 1
        assert "Configuration file needs one or more <listen> elements giving addresses" in done.stderr
        assert not place.socket.exists()


class TestPrinting:
    def test_address_goes_to_stdout(self, place: Place) -> None:
        """Print the address of the message bus to standard output."""
        process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-address")
        line = line_of(process)
        assert re.fullmatch(rf"unix:path={place.socket},guid=[0-9a-f]{{32}}\n", line)
        assert place.finish(process) == 0

    def test_pid_goes_to_stdout(self, place: Place) -> None:
        """Print the process ID of the message bus to standard output."""
        process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-pid")
        assert line_of(process) == f"{process.pid}\n"
        assert place.finish(process) == 0

    def test_address_before_pid(self, place: Place) -> None:
        """Both on standard output: the address comes first, whatever the order of the options."""
        process = place.begin(f"--config-file={place.conf}", "--print-pid", "--nofork", "--print-address")
        assert line_of(process).startswith("unix:")
        assert line_of(process) == f"{process.pid}\n"
        assert place.finish(process) == 0

    @pytest.mark.parametrize("space", [False, True])
    def test_given_descriptors(self, place: Place, space: bool) -> None:
        """... or to the given file descriptor, which is closed after that."""
        address_read, address_write = os.pipe()
        pid_read, pid_write = os.pipe()
        given: tuple[str, ...] = (f"--print-address={address_write}", f"--print-pid={pid_write}")
        if space:
            given = ("--print-address", str(address_write), "--print-pid", str(pid_write))
        process = place.begin(
            *given, f"--config-file={place.conf}", "--nofork", pass_fds=(address_write, pid_write)
        )
        os.close(address_write)
        os.close(pid_write)
        try:
            assert read_line(address_read).startswith("unix:path=")
            assert read_line(pid_read) == f"{process.pid}\n"
            assert read_line(address_read) == read_line(pid_read) == ""
            assert place.finish(process) == 0
        finally:
            os.close(address_read)
            os.close(pid_read)

    def test_several_listen(self, place: Place) -> None:
        """Several addresses are separated by semicolons."""
        place.write(listen=f"unix:path={place.socket}</listen><listen>unix:path={place.directory}/second")
        process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-address")
        addresses = line_of(process).rstrip("\n").split(";")
        assert sorted(one.partition(",")[0] for one in addresses) == [
            f"unix:path={place.socket}",
            f"unix:path={place.directory}/second",
        ]
        for address in addresses:
            Client(address).close()
        assert place.finish(process) == 0


class TestFork:
    def fork(self, place: Place, *arguments: str) -> tuple[str, int]:
        """Start with --fork through a pipe and return the address and the pid printed; the parent has ended."""
        read, write = os.pipe()
        process = place.begin(
            f"--config-file={place.conf}", f"--print-address={write}", "--print-pid", *arguments, pass_fds=(write,)
        )
        os.close(write)
        try:
            address, pid = read_line(read).rstrip("\n"), int(line_of(process))
            place.pids.append(pid)
            assert process.wait(DEADLINE) == 0
            assert pid != process.pid
        finally:
            os.close(read)
        return address, pid

    def test_fork(self, place: Place) -> None:
        """Force the message bus to fork and become a daemon; the parent ends with status 0."""
        _, pid = self.fork(place, "--fork")
        client = Client(f"unix:path={place.socket}")
        assert client.driver("GetConnectionUnixProcessID", "s", "org.freedesktop.DBus") == pid
        client.close()
        assert os.getsid(pid) != os.getsid(0)
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        end_process(pid)
        assert not place.socket.exists()

    def test_standard_descriptors(self, place: Place) -> None:
        """A daemon lets go of the terminal: descriptors 0, 1 and 2 are /dev/null."""
        _, pid = self.fork(place, "--fork")
        Client(f"unix:path={place.socket}").close()
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}

    def test_closed_descriptors(self, place: Place) -> None:
        """Descriptors 0, 1 and 2 may be closed when it starts."""
        shell = 'exec "$0" "$@" <&- >&- 2>&-'
        read, write = os.pipe()
        process = subprocess.Popen(
            ["sh", "-c", shell, place.executable, f"--config-file={place.conf}", "--fork", f"--print-address={write}"],
            pass_fds=(write,),
        )
        os.close(write)
        address = read_line(read).rstrip("\n")
        os.close(read)
        assert process.wait(DEADLINE) == 0
        client = Client(address)
        pid = client.driver("GetConnectionUnixProcessID", "s", "org.freedesktop.DBus")
        place.pids.append(pid)
        client.close()
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}

    def test_printed_descriptors_are_closed(self, place: Place) -> None:
        """Who reads address and pid to the end needn't wait for the daemon's end."""
        address_read, address_write = os.pipe()
        pid_read, pid_write = os.pipe()
        process = place.begin(
            f"--config-file={place.conf}",
            "--fork",
            f"--print-address={address_write}",
            f"--print-pid={pid_write}",
            pass_fds=(address_write, pid_write),
        )
        os.close(address_write)
        os.close(pid_write)
        try:
            assert read_line(address_read).startswith("unix:path=")
            place.pids.append(int(read_line(pid_read)))
            assert process.wait(DEADLINE) == 0
            assert read_line(address_read) == read_line(pid_read) == ""
        finally:
            os.close(address_read)
            os.close(pid_read)

    def test_configured_fork(self, place: Place) -> None:
        """<fork/>: the bus forks without being told on the command line."""
        place.write(extra="<fork/>")
        address, _ = self.fork(place)
        assert address.startswith(f"unix:path={place.socket}")

    def test_nofork_wins_over_configuration(self, place: Place) -> None:
        """Force the message bus not to fork, even if the configuration file says it should."""
        place.write(extra="<fork/>")
        process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-pid")
        assert line_of(process) == f"{process.pid}\n"
        assert place.finish(process) == 0

    def test_last_of_fork_and_nofork_counts(self, place: Place) -> None:
        process = place.begin(f"--config-file={place.conf}", "--fork", "--nofork", "--print-pid")
        assert line_of(process) == f"{process.pid}\n"
        assert place.finish(process) == 0
        self.fork(place, "--nofork", "--fork")


class TestPidFile:
    """<pidfile>: where the process ID is written, as a decimal number and a newline."""

    def configure(self, place: Place) -> Path:
        pidfile = place.directory / "pid"
        place.write(extra=f"<pidfile>{pidfile}</pidfile>")
        return pidfile

    def test_written_and_removed(self, place: Place) -> None:
        pidfile = self.configure(place)
        process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-pid")
        line_of(process)
        assert pidfile.read_text() == f"{process.pid}\n"
        assert place.finish(process) == 0
        assert not pidfile.exists()

    def test_forked(self, place: Place) -> None:
        pidfile = self.configure(place)
        done = place.run(f"--config-file={place.conf}", "--fork", "--print-pid")
        pid = int(done.stdout)
        place.pids.append(pid)
        assert pidfile.read_text() == f"{pid}\n"
        Client(f"unix:path={place.socket}").close()
        end_process(pid)
        assert not pidfile.exists()

    def test_in_the_way(self, place: Place) -> None:
        """An existing file is not replaced: the bus might be running."""
        pidfile = self.configure(place)
        pidfile.write_text("1\n")
        done = place.run(f"--config-file={place.conf}", "--nofork", "--print-address")
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            f'The pid file "{pidfile}" exists, if the message bus is not running, remove this file' in done.stderr
        )
        assert pidfile.read_text() == "1\n"
        assert not place.socket.exists()

    def test_nopidfile(self, place: Place) -> None:
        """Don't write a PID file even if one is configured in the configuration files."""
        pidfile = self.configure(place)
        process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-pid", "--nopidfile")
        line_of(process)
        assert not pidfile.exists()
        assert place.finish(process) == 0


class TestOtherOptions:
    @pytest.mark.parametrize("option", ["--syslog", "--nosyslog", "--syslog-only", "--systemd-activation"])
    def test_accepted(self, place: Place, option: str) -> None:
        process = place.begin(option, f"--config-file={place.conf}", "--nofork", "--print-address")
        client = Client(line_of(process).rstrip())
        assert client.driver("GetId")
        client.close()
        assert place.finish(process) == 0

    def test_any_order(self, place: Place) -> None:
        process = place.begin(
            "--print-address",
            "--syslog-only",
            "--print-pid",
            "1",
            "--nofork",
            "--nopidfile",
            "--config-file",
            place.conf,
            "--systemd-activation",
            "--address",
            f"unix:path={place.socket}",
        )
        assert line_of(process).startswith(f"unix:path={place.socket}")
        assert line_of(process) == f"{process.pid}\n"
        assert place.finish(process) == 0


class TestEnd:
    def test_sigterm(self, place: Place) -> None:
        """SIGTERM ends the bus at once; connections are closed, the socket is gone, the exit status is 0."""
        process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-address")
        client = Client(line_of(process).rstrip())
        process.send_signal(signal.SIGTERM)
        client.expect_closed()
        client.close()
        assert process.wait(DEADLINE) == 0
        assert not place.socket.exists()

    def test_sigterm_with_half_authenticated_clients(self, place: Place) -> None:
        process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-address")
        client = Client(line_of(process).rstrip(), hello=False)
        assert place.finish(process) == 0
        client.close()
        assert not place.socket.exists()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_just_started(self, place: Place, number: signal.Signals) -> None:
        """Also if it has only just printed its address: no signal is lost."""
        for _ in range(5):
            process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-address")
            line_of(process)
            process.send_signal(number)
            assert process.wait(DEADLINE) in (0, -number)

    def test_sighup_is_no_end(self, place: Place) -> None:
        """SIGHUP makes the bus read its configuration again; connections stay."""
        process = place.begin(f"--config-file={place.conf}", "--nofork", "--print-address")
        client = Client(line_of(process).rstrip())
        process.send_signal(signal.SIGHUP)
        assert client.driver("GetId")
        client.close()
        assert place.finish(process) == 0
