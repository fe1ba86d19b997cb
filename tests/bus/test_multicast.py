"""--multicast and omnibus's own configuration file: whether messages are sent directly between clients."""

from __future__ import annotations

import os

import pytest

from support.command_line import CommandLine
from support.daemon import config

from .conftest import StartDaemon

DEVICE = "/dev/unix_multicast"
without_device = pytest.mark.skipif(os.path.lexists(DEVICE), reason="this kernel has the feature")


def own(cli: CommandLine, text: str) -> str:
    path = cli.directory / "own.conf"
    path.write_text(f"<omnibusconfig>\n{text}\n</omnibusconfig>\n")
    return f"--omnibus-config={path}"


@pytest.mark.deviation("multicast")
class TestChoice:
    """GetStats and the journal show the mode and the reason; standard error may be a terminal."""

    def line(self, start_daemon: StartDaemon, *arguments: str) -> str:
        daemon = start_daemon(config("unix:path={dir}/bus"), *arguments)
        stats = daemon.connect().driver("GetStats", interface="org.freedesktop.DBus.Debug.Stats")
        assert daemon.stderr == ""
        return f"Messages go {stats['omnibus.Multicast'].value}"

    def test_off(self, start_daemon: StartDaemon) -> None:
        assert self.line(start_daemon, "--multicast=off") == "Messages go through the relay: multicast is off"

    @without_device
    @pytest.mark.parametrize("arguments", [(), ("--multicast=auto",)])
    def test_auto(self, start_daemon: StartDaemon, arguments: tuple[str, ...]) -> None:
        expected = "Messages go through the relay: this system has no unix_multicast"
        assert self.line(start_daemon, *arguments) == expected

    def test_file(self, start_daemon: StartDaemon, cli: CommandLine) -> None:
        argument = own(cli, "<multicast>off</multicast>")
        assert self.line(start_daemon, argument) == "Messages go through the relay: multicast is off"

    def test_command_line_beats_file(self, start_daemon: StartDaemon, cli: CommandLine) -> None:
        arguments = own(cli, "<multicast>require</multicast>"), "--multicast=off"
        assert self.line(start_daemon, *arguments) == "Messages go through the relay: multicast is off"

    def test_absent_file(self, start_daemon: StartDaemon) -> None:
        arguments = "--omnibus-config=/nonexistent/own.conf", "--multicast=off"
        assert self.line(start_daemon, *arguments) == "Messages go through the relay: multicast is off"


@pytest.mark.deviation("multicast")
class TestRefusal:
    """The daemon does not start, prints the reason, and leaves nothing behind."""

    def refuse(self, cli: CommandLine, *arguments: str) -> str:
        done = cli.run(f"--config-file={cli.conf}", "--nofork", "--print-address", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert not cli.socket.exists()
        return done.stderr

    @without_device
    def test_required(self, cli: CommandLine) -> None:
        reason = "Failed to start message bus: multicast is required: this system has no unix_multicast"
        assert reason in self.refuse(cli, "--multicast=require")
        assert reason in self.refuse(cli, own(cli, "<multicast>require</multicast>"))

    def test_mode(self, cli: CommandLine) -> None:
        text = self.refuse(cli, "--multicast=yes")
        assert text == '--multicast must be auto, off or require, not "yes"\n'

    def test_file(self, cli: CommandLine) -> None:
        argument = own(cli, "<trust>me</trust>")
        path = cli.directory / "own.conf"
        reason = f'{path}:2: Element <trust> must be same-user or everybody, not "me"'
        assert f"Failed to start message bus: {reason}\n" in self.refuse(cli, argument)
