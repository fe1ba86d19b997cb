"""dbus-daemon(1): becoming a daemon, the pidfile, and termination."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.command_line import CommandLine, line_of
from support.daemon import end_process, read_line
from support.raw import DEADLINE, Client


class TestFork:
    def fork(self, cli: CommandLine, *arguments: str) -> tuple[str, int]:
        """Start a daemon that forks; return the printed address and pid. The parent has exited."""
        read, write = os.pipe()
        process = cli.begin(
            f"--config-file={cli.conf}",
            f"--print-address={write}",
            "--print-pid",
            *arguments,
            pass_fds=(write,),
        )
        os.close(write)
        try:
            address, pid = read_line(read).rstrip("\n"), int(line_of(process))
            cli.pids.append(pid)
            assert process.wait(DEADLINE) == 0
            assert pid != process.pid
        finally:
            os.close(read)
        return address, pid

    def test_fork(self, cli: CommandLine) -> None:
        """Force the message bus to fork and become a daemon; the parent exits with status 0."""
        _, pid = self.fork(cli, "--fork")
        client = Client(f"unix:path={cli.socket}")
        assert client.driver("GetConnectionUnixProcessID", "s", "org.freedesktop.DBus") == pid
        client.close()
        assert os.getsid(pid) != os.getsid(0)
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        end_process(pid)
        assert not cli.socket.exists()

    def test_standard_descriptors(self, cli: CommandLine) -> None:
        """A daemon detaches from the terminal: descriptors 0, 1 and 2 are /dev/null."""
        _, pid = self.fork(cli, "--fork")
        Client(f"unix:path={cli.socket}").close()
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}

    def test_closed_descriptors(self, cli: CommandLine) -> None:
        """Descriptors 0, 1 and 2 may be closed at the start."""
        shell = 'exec "$0" "$@" <&- >&- 2>&-'
        read, write = os.pipe()
        process = subprocess.Popen(
            [
                "sh",
                "-c",
                shell,
                cli.executable,
                f"--config-file={cli.conf}",
                "--fork",
                f"--print-address={write}",
            ],
            pass_fds=(write,),
        )
        os.close(write)
        address = read_line(read).rstrip("\n")
        os.close(read)
        assert process.wait(DEADLINE) == 0
        client = Client(address)
        pid = client.driver("GetConnectionUnixProcessID", "s", "org.freedesktop.DBus")
        cli.pids.append(pid)
        client.close()
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}

    def test_printed_descriptors_are_closed(self, cli: CommandLine) -> None:
        """A process that reads address and pid to the end of file need not wait for the daemon to exit."""
        address_read, address_write = os.pipe()
        pid_read, pid_write = os.pipe()
        process = cli.begin(
            f"--config-file={cli.conf}",
            "--fork",
            f"--print-address={address_write}",
            f"--print-pid={pid_write}",
            pass_fds=(address_write, pid_write),
        )
        os.close(address_write)
        os.close(pid_write)
        try:
            assert read_line(address_read).startswith("unix:path=")
            cli.pids.append(int(read_line(pid_read)))
            assert process.wait(DEADLINE) == 0
            assert read_line(address_read) == read_line(pid_read) == ""
        finally:
            os.close(address_read)
            os.close(pid_read)

    def test_configured_fork(self, cli: CommandLine) -> None:
        """<fork/>: the bus forks without a command-line option."""
        cli.write(extra="<fork/>")
        address, _ = self.fork(cli)
        assert address.startswith(f"unix:path={cli.socket}")

    @pytest.mark.parametrize(("extra", "mask"), [("", "0022"), ("<keep_umask/>", "0027")])
    def test_umask(self, cli: CommandLine, extra: str, mask: str) -> None:
        """A daemon has the umask 022; with <keep_umask/> it keeps that of its parent."""
        cli.write(extra=extra)
        before = os.umask(0o027)
        try:
            _, pid = self.fork(cli, "--fork")
        finally:
            os.umask(before)
        Client(f"unix:path={cli.socket}").close()
        assert f"Umask:\t{mask}\n" in Path(f"/proc/{pid}/status").read_text()

    def test_nofork_wins_over_configuration(self, cli: CommandLine) -> None:
        """Force the message bus not to fork, even if the configuration file says it should."""
        cli.write(extra="<fork/>")
        process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-pid")
        assert line_of(process) == f"{process.pid}\n"
        assert cli.finish(process) == 0

    def test_last_of_fork_and_nofork_counts(self, cli: CommandLine) -> None:
        process = cli.begin(f"--config-file={cli.conf}", "--fork", "--nofork", "--print-pid")
        assert line_of(process) == f"{process.pid}\n"
        assert cli.finish(process) == 0
        self.fork(cli, "--nofork", "--fork")


class TestPidFile:
    """<pidfile>: the file contains the process ID as a decimal number and a newline."""

    def configure(self, cli: CommandLine) -> Path:
        pidfile = cli.directory / "pid"
        cli.write(extra=f"<pidfile>{pidfile}</pidfile>")
        return pidfile

    def test_written_and_removed(self, cli: CommandLine) -> None:
        pidfile = self.configure(cli)
        process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-pid")
        line_of(process)
        assert pidfile.read_text() == f"{process.pid}\n"
        assert cli.finish(process) == 0
        assert not pidfile.exists()

    def test_forked(self, cli: CommandLine) -> None:
        pidfile = self.configure(cli)
        done = cli.run(f"--config-file={cli.conf}", "--fork", "--print-pid")
        pid = int(done.stdout)
        cli.pids.append(pid)
        assert pidfile.read_text() == f"{pid}\n"
        Client(f"unix:path={cli.socket}").close()
        end_process(pid)
        assert not pidfile.exists()

    def test_existing_file(self, cli: CommandLine) -> None:
        """An existing file is not replaced: the bus might be running."""
        pidfile = self.configure(cli)
        pidfile.write_text("1\n")
        done = cli.run(f"--config-file={cli.conf}", "--nofork", "--print-address")
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            f'The pid file "{pidfile}" exists, if the message bus is not running, remove this file'
            in done.stderr
        )
        assert pidfile.read_text() == "1\n"
        assert not cli.socket.exists()

    def test_nopidfile(self, cli: CommandLine) -> None:
        """Don't write a PID file even if one is configured in the configuration files."""
        pidfile = self.configure(cli)
        process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-pid", "--nopidfile")
        line_of(process)
        assert not pidfile.exists()
        assert cli.finish(process) == 0


class TestEnd:
    def test_sigterm(self, cli: CommandLine) -> None:
        """SIGTERM ends the bus at once: connections are closed, the socket is removed, the status is 0."""
        process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-address")
        client = Client(line_of(process).rstrip())
        process.send_signal(signal.SIGTERM)
        client.expect_closed()
        client.close()
        assert process.wait(DEADLINE) == 0
        assert not cli.socket.exists()

    def test_sigterm_with_half_authenticated_clients(self, cli: CommandLine) -> None:
        process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-address")
        client = Client(line_of(process).rstrip(), hello=False)
        assert cli.finish(process) == 0
        client.close()
        assert not cli.socket.exists()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_just_started(self, cli: CommandLine, number: signal.Signals) -> None:
        """A signal sent as soon as the address is printed is not lost."""
        for _ in range(5):
            process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-address")
            line_of(process)
            process.send_signal(number)
            assert process.wait(DEADLINE) in (0, -number)

    def test_sighup_does_not_end_the_bus(self, cli: CommandLine) -> None:
        """SIGHUP makes the bus reload its configuration; connections stay."""
        process = cli.begin(f"--config-file={cli.conf}", "--nofork", "--print-address")
        client = Client(line_of(process).rstrip())
        process.send_signal(signal.SIGHUP)
        assert client.driver("GetId")
        client.close()
        assert cli.finish(process) == 0
