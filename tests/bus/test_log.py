"""dbus-daemon(1), --syslog and related options: the destinations of the log; the journal's entries."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon, config, private_directory, start
from support.logs import Logs
from support.message import Flag
from support.raw import DEADLINE, BusError

from .conftest import StartDaemon

LINE = "Reloaded configuration"
Begin = Callable[..., tuple[Daemon, Logs]]


@pytest.fixture
def begin(executable: str) -> Iterator[Begin]:
    """Start a daemon with its own syslog and journal sockets."""
    with contextlib.ExitStack() as stack:

        def go(*arguments: str, journal: bool, extra: str = "") -> tuple[Daemon, Logs]:
            directory = private_directory()
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            logs = Logs(directory, journal=journal)
            stack.callback(logs.close)
            text = config("unix:path={dir}/bus", extra=extra)
            daemon = start(logs.wrap(executable), text, arguments, directory=directory)
            stack.callback(daemon.stop)
            return daemon, logs

        yield go


class TestSyslog:
    """On a machine without a journal."""

    @pytest.mark.parametrize(
        ("arguments", "extra", "to_syslog", "to_stderr"),
        [
            ((), "", False, True),
            ((), "<syslog/>", True, True),
            (("--syslog",), "", True, True),
            (("--nosyslog",), "<syslog/>", False, True),
            (("--syslog-only",), "", True, False),
        ],
    )
    def test_destination(
        self, begin: Begin, arguments: tuple[str, ...], extra: str, to_syslog: bool, to_stderr: bool
    ) -> None:
        """--syslog, --syslog-only: the system log; --nosyslog: none, whatever the configuration says."""
        daemon, logs = begin(*arguments, journal=False, extra=extra)
        daemon.connect().driver("ReloadConfig")
        if to_syslog:
            line = logs.syslog.wait_for(LINE)
            assert line.startswith("<30>")  # LOG_DAEMON, LOG_INFO
            assert f"[{daemon.pid}]: [session uid={os.geteuid()} pid={daemon.pid}] " in line
        assert logs.syslog.is_empty()
        assert (LINE in daemon.stderr) is to_stderr


@pytest.mark.deviation("journal")
class TestJournal:
    """On a machine with a journal, entries have fields that tools can search for."""

    DENY = '<policy context="mandatory"><deny send_interface="org.example.Forbidden"/></policy>'

    def test_denial(self, begin: Begin) -> None:
        """The entry names peers, message and rule of a denial; it is not repeated in syslog."""
        daemon, logs = begin("--syslog-only", journal=True, extra="\n" + self.DENY)
        client, other = daemon.connect(), daemon.connect()
        with pytest.raises(BusError):
            client.call(other.unique, "Ask", interface="org.example.Forbidden")
        entry, _ = logs.entry("Rejected send message")
        text = (daemon.directory / "bus.conf").read_text()
        assert entry.pop("MESSAGE").startswith(f"[session uid={os.geteuid()} pid={daemon.pid}] Rejected ")
        assert entry == {
            "PRIORITY": "5",
            "SYSLOG_FACILITY": "4",
            "SYSLOG_IDENTIFIER": "omnibusd",
            "SYSLOG_PID": str(daemon.pid),
            "MESSAGE_ID": "ec79bd348aa7438890299b57c310b3c7",
            "DBUS_SENDER": client.unique,
            "DBUS_DESTINATION": other.unique,
            "CONFIG_FILE": str(daemon.directory / "bus.conf"),
            "CONFIG_LINE": str(text[: text.index("org.example.Forbidden")].count("\n") + 1),
        }
        assert logs.syslog.is_empty()
        assert "Rejected" not in daemon.stderr

    def test_several_lines(self, begin: Begin) -> None:
        """The command name of a client can't inject fields into an entry."""
        _, logs = begin("--syslog", journal=True, extra=self.unknown_user("a&#10;PRIORITY=0&#10;UNIT=b"))
        entry, _ = logs.entry("Unknown username")
        assert 'Unknown username "a\nPRIORITY=0\nUNIT=b" in message bus' in entry["MESSAGE"]
        assert entry["PRIORITY"] == "4"
        assert "UNIT" not in entry

    def test_large(self, begin: Begin) -> None:
        """An entry too large for a datagram is passed in a sealed memory file."""
        name = "x" * 1_000_000
        _, logs = begin("--syslog", journal=True, extra=self.unknown_user(name))
        entry, descriptors = logs.entry("Unknown username")
        assert f'"{name}"' in entry["MESSAGE"]
        assert descriptors == 1

    def test_multicast(self, begin: Begin) -> None:
        """The mode of direct messages is written to the journal only."""
        daemon, logs = begin("--syslog", journal=True)
        entry, _ = logs.entry("Messages go ")
        assert entry["PRIORITY"] == "7"
        assert "Messages go" not in daemon.stderr

    def unknown_user(self, name: str) -> str:
        return f'<policy user="{name}"><allow own="*"/></policy>'


@pytest.mark.deviation("unread-log")
class TestUnread:
    """A log that is not read stops neither the bus nor its end."""

    DENY = '\n<policy context="mandatory"><deny send_interface="org.example.Forbidden"/></policy>'
    LOST = "lines of this log are lost, since there was no room for them"

    def flood(self, daemon: Daemon) -> None:
        """Cause more lines than fit into a pipe or a socket."""
        client, other = daemon.connect(), daemon.connect()
        for _ in range(1500):
            client.start_call(
                other.unique, "Ask", interface="org.example.Forbidden", flags=Flag.NO_REPLY_EXPECTED
            )
        client.driver("GetId")

    def check(self, daemon: Daemon) -> None:
        """Each plane replies, and the bus ends on request."""
        client = daemon.connect()
        assert client.driver("ListActivatableNames")
        assert client.driver("GetId")
        assert daemon.terminate() == 0

    def test_standard_error(self, start_daemon: StartDaemon, pipe: tuple[int, int]) -> None:
        read, write = pipe
        text = config("unix:path={dir}/bus", extra=self.DENY)
        daemon = start_daemon(text, shell=f"exec 2>&{write} {write}>&-", pass_fds=(write,))
        self.flood(daemon)
        client = daemon.connect()
        assert client.driver("ListActivatableNames")
        os.set_blocking(read, True)
        with open(os.dup(read), encoding="utf-8") as lines:
            assert any(self.LOST in line for line in lines)
        self.check(daemon)

    @pytest.mark.parametrize("journal", [False, True], ids=["syslog", "journal"])
    def test_system_log(self, begin: Begin, journal: bool) -> None:
        daemon, logs = begin("--syslog-only", journal=journal, extra=self.DENY)
        self.flood(daemon)
        client = daemon.connect()
        assert client.driver("ListActivatableNames")
        (logs.journal or logs.syslog).wait_for(self.LOST)
        self.check(daemon)

    def test_end(self, begin: Begin) -> None:
        """The end does not wait for the log either."""
        daemon, _ = begin("--syslog-only", journal=False, extra=self.DENY)
        self.flood(daemon)
        self.check(daemon)


class TestQuiet:
    """A bus without errors prints nothing: some test suites fail on any output."""

    def test_run_session(self, executable: str, unprivileged: int) -> None:
        """dbus-run-session: a program, and a bus for it."""
        done = subprocess.run(
            ["dbus-run-session", f"--dbus-daemon={executable}", "--", "true"],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            user=unprivileged,
            group=unprivileged,
            extra_groups=[],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_bus(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        directory = private_directory()
        os.chown(directory, unprivileged, unprivileged)
        daemon = start_daemon(
            directory=directory, user=unprivileged, group=unprivileged, extra_groups=[], env={}
        )
        assert daemon.connect().driver("GetId")
        assert daemon.terminate() == 0
        assert daemon.stderr == ""


class TestNotUtf8:
    """File names may contain any bytes: the log contains them unchanged, and nothing else is affected."""

    NAME = os.fsdecode(b"\xe9.service")

    @pytest.fixture
    def files(self) -> Iterator[Path]:
        directory = private_directory()
        (directory / self.NAME).write_text("[D-BUS Service]\nName=org.example.NoExec\n")
        (directory / "good.service").write_text("[D-BUS Service]\nName=org.example.Good\nExec=/bin/false\n")
        (directory / os.fsdecode(b"\xe9.conf")).write_text("<busconfig><nonsense/></busconfig>")
        yield directory
        shutil.rmtree(directory)

    def test_service_file(self, begin: Begin, files: Path) -> None:
        """On a machine without a journal the lines go to syslog."""
        extra = f"<servicedir>{files}</servicedir>"
        daemon, _ = begin("--syslog", journal=False, extra=extra)
        client = daemon.connect()
        for _ in range(3):
            assert "org.example.Good" in client.driver("ListActivatableNames")
            with pytest.raises(BusError, match="ServiceUnknown"):
                client.call("org.example.Absent", "Hail")
            with pytest.raises(BusError, match="ChildExited"):
                client.call("org.example.Good", "Hail")

    def test_included_file(self, begin: Begin, files: Path) -> None:
        """A warning is logged and the file is skipped, at the start and at each reload."""
        daemon, logs = begin("--syslog", journal=False, extra=f"<includedir>{files}</includedir>")
        client = daemon.connect()
        for _ in range(2):
            client.driver("ReloadConfig")
            logs.syslog.wait_for("Reloaded configuration")
