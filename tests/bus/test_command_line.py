"""dbus-daemon(1), "OPTIONS": each option, the syntax of its value, and the descriptor its output goes to."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from support.command_line import CommandLine, line_of
from support.daemon import config, read_line
from support.group import entries
from support.raw import Client

OPTIONS = [
    "--version",
    "--session",
    "--system",
    "--config-file=",
    "--print-address",
    "--print-pid",
    "--introspect",
    "--address=",
    "--nopidfile",
    "--nosyslog",
    "--syslog",
    "--syslog-only",
    "--nofork",
    "--fork",
    "--systemd-activation",
]


class TestInformation:
    @pytest.mark.parametrize("option", ["--help", "-h", "-?"])
    def test_help(self, cli: CommandLine, option: str) -> None:
        """Usage goes to stderr, and the exit status is 1."""
        done = cli.run(option)
        assert (done.returncode, done.stdout) == (1, "")
        assert all(f"[{one}" in done.stderr for one in OPTIONS)

    def test_version(self, cli: CommandLine) -> None:
        """Print the version of the daemon: on stdout, with exit status 0."""
        done = cli.run("--version")
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"\d+\.\d+", done.stdout.splitlines()[0])

    def test_introspect(self, cli: CommandLine) -> None:
        """Print the introspection XML of all D-Bus internal interfaces."""
        done = cli.run("--introspect")
        assert (done.returncode, done.stderr) == (0, "")
        root = ElementTree.fromstring(done.stdout)
        methods = {
            interface.get("name"): {method.get("name") for method in interface.iter("method")}
            for interface in root
        }
        assert {"Hello", "RequestName", "GetConnectionCredentials"} <= methods["org.freedesktop.DBus"]
        assert methods["org.freedesktop.DBus.Properties"] == {"Get", "GetAll", "Set"}
        assert methods["org.freedesktop.DBus.Peer"] == {"Ping", "GetMachineId"}
        assert methods["org.freedesktop.DBus.Introspectable"] == {"Introspect"}

    @pytest.mark.parametrize("option", ["--version", "--introspect"])
    def test_later_arguments_are_ignored(self, cli: CommandLine, option: str) -> None:
        """Arguments after --version or --introspect are not parsed."""
        assert cli.run(option, "--bogus").returncode == 0


class TestMistakes:
    @pytest.mark.parametrize("argument", ["--bogus", "bogus", "-x", "--fork=yes", "--print-addresses"])
    def test_unknown_option(self, cli: CommandLine, argument: str) -> None:
        done = cli.run(f"--config-file={cli.conf}", argument)
        assert (done.returncode, done.stdout) == (1, "")
        assert "[--config-file=FILE]" in done.stderr

    @pytest.mark.parametrize("arguments", [(), ("--print-address",), ("--config-file",), ("--config-file=",)])
    def test_no_configuration(self, cli: CommandLine, arguments: tuple[str, ...]) -> None:
        done = cli.run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("No configuration file specified.\n")
        assert "[--config-file=FILE]" in done.stderr

    @pytest.mark.parametrize(
        ("second", "text"),
        [
            (("--session",), "--session specified but configuration file {conf} already requested"),
            (("--system",), "--system specified but configuration file {conf} already requested"),
            (
                ("--config-file=/x",),
                "--config-file specified but configuration file {conf} already requested",
            ),
            (
                ("--config-file", "/x"),
                "--config-file specified but configuration file {conf} already requested",
            ),
            (("--address=a:", "--address=b:"), "--address specified but address a: already requested"),
            (("--address", "a:", "--address", "b:"), "--address specified but address a: already requested"),
            (
                ("--print-address=1", "--print-address=2"),
                "--print-address specified but printing address to 1 already requested",
            ),
            (
                ("--print-pid=1", "--print-pid", "2"),
                "--print-pid specified but printing pid to 1 already requested",
            ),
        ],
    )
    def test_option_given_twice(self, cli: CommandLine, second: tuple[str, ...], text: str) -> None:
        done = cli.run(f"--config-file={cli.conf}", *second)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.strip() == text.format(conf=cli.conf)

    @pytest.mark.parametrize("option", ["--print-address", "--print-pid"])
    @pytest.mark.parametrize("value", ["abc", "-1", "1x", "99999999999999999999"])
    def test_no_descriptor_number(self, cli: CommandLine, option: str, value: str) -> None:
        done = cli.run(f"--config-file={cli.conf}", f"{option}={value}")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.strip() == f'Invalid file descriptor: "{value}"'

    def test_descriptor_not_open(self, cli: CommandLine) -> None:
        done = cli.run(f"--config-file={cli.conf}", "--nofork", "--print-address=77")
        assert done.returncode == 1
        assert "Failed to start message bus" in done.stderr
        assert "Bad file descriptor" in done.stderr
        assert not cli.socket.exists()

    def test_no_such_file(self, cli: CommandLine) -> None:
        done = cli.run("--config-file=/nonexistent/bus.conf", "--print-address")
        assert (done.returncode, done.stdout) == (1, "")
        assert "Failed to start message bus" in done.stderr
        assert '"/nonexistent/bus.conf": No such file or directory' in done.stderr


class TestConfigurationFile:
    @pytest.mark.parametrize("space", [False, True])
    def test_config_file(self, cli: CommandLine, space: bool) -> None:
        """Use the given configuration file; the value follows '=' or is the next argument."""
        named = ("--config-file", cli.conf) if space else (f"--config-file={cli.conf}",)
        process = cli.begin(*named, "--nofork", "--print-address")
        assert line_of(process).startswith(f"unix:path={cli.socket},guid=")
        assert cli.finish(process) == 0

    def test_relative_file(self, cli: CommandLine) -> None:
        """A relative file name is resolved against the current directory."""
        process = cli.begin("--config-file=bus.conf", "--nofork", "--print-address", cwd=cli.directory)
        assert line_of(process).startswith("unix:path=")
        assert cli.finish(process) == 0

    def test_session(self, cli: CommandLine) -> None:
        """Use the standard configuration file for the per-login-session message bus."""
        address = f"--address=unix:path={cli.socket}"
        environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(cli.directory)}
        process = cli.begin(
            "--session", address, "--nofork", "--print-address", "--nopidfile", env=environment
        )
        client = Client(line_of(process).rstrip())
        assert "org.freedesktop.DBus" in client.driver("ListNames")
        assert client.own("org.example.Session") == 1
        client.close()
        assert cli.finish(process) == 0
        for path in ("dbus-1/services", "dbus-1"):
            (cli.directory / path).rmdir()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
    def test_system(self, cli: CommandLine) -> None:
        """Use the standard configuration file for the systemwide message bus."""
        cli.directory.chmod(0o777)
        address = f"--address=unix:path={cli.socket}"
        process = cli.begin("--system", address, "--nofork", "--print-address", "--nopidfile")
        client = Client(line_of(process).rstrip())
        assert "org.freedesktop.DBus" in client.driver("ListNames")
        assert client.driver("GetConnectionUnixUser", "s", "org.freedesktop.DBus") != 0
        client.close()
        assert cli.finish(process) == 0


class TestAddress:
    @pytest.mark.parametrize("space", [False, True])
    def test_address(self, cli: CommandLine, space: bool) -> None:
        """Set the address to listen on; this overrides the one in the configuration file."""
        cli.write(listen=f"unix:path={cli.directory}/not-this")
        address = f"unix:path={cli.socket}"
        given = ("--address", address) if space else (f"--address={address}",)
        process = cli.begin(f"--config-file={cli.conf}", *given, "--nofork", "--print-address")
        assert line_of(process).startswith(address)
        assert entries(Path(cli.directory)) == ["bus", "bus.conf"]
        assert cli.finish(process) == 0

    def test_listen_is_still_required(self, cli: CommandLine) -> None:
        Path(cli.conf).write_text(config())
        done = cli.run(f"--config-file={cli.conf}", f"--address=unix:path={cli.socket}", "--nofork")
        assert done.returncode == 1
        assert "Configuration file needs one or more <listen> elements giving addresses" in done.stderr
        assert not cli.socket.exists()


class TestPrinting:
    def test_address_goes_to_stdout(self, cli: CommandLine) -> None:
        """Print the address of the message bus to standard output."""
        process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-address")
        line = line_of(process)
        assert re.fullmatch(rf"unix:path={cli.socket},guid=[0-9a-f]{{32}}\n", line)
        assert cli.finish(process) == 0

    def test_pid_goes_to_stdout(self, cli: CommandLine) -> None:
        """Print the process ID of the message bus to standard output."""
        process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-pid")
        assert line_of(process) == f"{process.pid}\n"
        assert cli.finish(process) == 0

    def test_address_before_pid(self, cli: CommandLine) -> None:
        """The address is printed before the process ID, whatever the order of the options."""
        process = cli.begin(f"--config-file={cli.conf}", "--print-pid", "--nofork", "--print-address")
        assert line_of(process).startswith("unix:")
        assert line_of(process) == f"{process.pid}\n"
        assert cli.finish(process) == 0

    @pytest.mark.parametrize("space", [False, True])
    def test_given_descriptors(self, cli: CommandLine, space: bool) -> None:
        """The given file descriptor is used and then closed."""
        address_read, address_write = os.pipe()
        pid_read, pid_write = os.pipe()
        given: tuple[str, ...] = (f"--print-address={address_write}", f"--print-pid={pid_write}")
        if space:
            given = ("--print-address", str(address_write), "--print-pid", str(pid_write))
        process = cli.begin(
            *given, f"--config-file={cli.conf}", "--nofork", pass_fds=(address_write, pid_write)
        )
        os.close(address_write)
        os.close(pid_write)
        try:
            assert read_line(address_read).startswith("unix:path=")
            assert read_line(pid_read) == f"{process.pid}\n"
            assert read_line(address_read) == read_line(pid_read) == ""
            assert cli.finish(process) == 0
        finally:
            os.close(address_read)
            os.close(pid_read)

    def test_several_listen(self, cli: CommandLine) -> None:
        """Several addresses are printed separated by semicolons."""
        cli.write(listen=f"unix:path={cli.socket}</listen><listen>unix:path={cli.directory}/second")
        process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-address")
        addresses = line_of(process).rstrip("\n").split(";")
        assert sorted(one.partition(",")[0] for one in addresses) == [
            f"unix:path={cli.socket}",
            f"unix:path={cli.directory}/second",
        ]
        for address in addresses:
            Client(address).close()
        assert cli.finish(process) == 0


class TestOtherOptions:
    @pytest.mark.parametrize("option", ["--syslog", "--nosyslog", "--syslog-only", "--systemd-activation"])
    def test_accepted(self, cli: CommandLine, option: str) -> None:
        process = cli.begin(option, f"--config-file={cli.conf}", "--nofork", "--print-address")
        client = Client(line_of(process).rstrip())
        assert client.driver("GetId")
        client.close()
        assert cli.finish(process) == 0

    def test_any_order(self, cli: CommandLine) -> None:
        process = cli.begin(
            "--print-address",
            "--syslog-only",
            "--print-pid",
            "1",
            "--nofork",
            "--nopidfile",
            "--config-file",
            cli.conf,
            "--systemd-activation",
            "--address",
            f"unix:path={cli.socket}",
        )
        assert line_of(process).startswith(f"unix:path={cli.socket}")
        assert line_of(process) == f"{process.pid}\n"
        assert cli.finish(process) == 0
