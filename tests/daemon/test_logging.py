"""The destinations and the format of log lines."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import syslog
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from omnibus.daemon.logging import DENIED, EPISODE, Log
from omnibus.daemon.outlets import Syslog
from omnibus.systemd.journal import Journal

# RFC 3164, section 5.4: priority, time, tag, content.
LINE = re.compile(
    rf"<(\d+)>[A-Z][a-z]{{2}} [ 123]\d \d\d:\d\d:\d\d omnibusd\[{os.getpid()}\]: (.*)", re.DOTALL
)


def no_journal() -> Journal:
    raise FileNotFoundError


class Syslogd:
    """The listener at /dev/log."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def open(self) -> Syslog:
        return Syslog(self.path)

    def lines(self) -> list[tuple[int, str]]:
        """The received lines: priority and text."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while line := LINE.fullmatch(self.socket.recv(1 << 16).decode("utf-8", "surrogateescape")):
                found.append((int(line[1]), line[2]))
        return found


@pytest.fixture
def syslogd(tmp_path: Path) -> Iterator[Syslogd]:
    found = Syslogd(tmp_path / "log")
    yield found
    found.socket.close()


def test_before_the_configuration_is_known(capfd: pytest.CaptureFixture[str]) -> None:
    Log().warning("text")
    assert capfd.readouterr() == ("", f"omnibusd[{os.getpid()}]: text\n")


@pytest.mark.parametrize(
    ("bus_type", "prefix"),
    [
        ("system", "[system] "),
        ("session", "[session uid={uid} pid={pid}] "),
        ("other", ""),
        (None, ""),
    ],
)
def test_prefix(capfd: pytest.CaptureFixture[str], bus_type: str | None, prefix: str) -> None:
    """The prefix names the bus."""
    log = Log()
    log.configure(bus_type, to_syslog=False, to_stderr=True)
    log.info("text")
    said = prefix.format(uid=os.geteuid(), pid=os.getpid())
    assert capfd.readouterr().err == f"omnibusd[{os.getpid()}]: {said}text\n"


def test_syslog(capfd: pytest.CaptureFixture[str], syslogd: Syslogd) -> None:
    """Denials go to the authentication facility."""
    log = Log(no_journal, syslogd.open)
    log.configure("system", to_syslog=True, to_stderr=False)
    log.info("a")
    log.warning("b")
    log.security("c", DBUS_SENDER=":1.0")
    log.event(syslog.LOG_NOTICE, "d")
    log.event(syslog.LOG_ERR, "e")
    assert syslogd.lines() == [
        (syslog.LOG_DAEMON | syslog.LOG_INFO, "[system] a"),
        (syslog.LOG_DAEMON | syslog.LOG_WARNING, "[system] b"),
        (syslog.LOG_AUTH | syslog.LOG_NOTICE, "[system] c"),
        (syslog.LOG_AUTH | syslog.LOG_NOTICE, "[system] d"),
        (syslog.LOG_DAEMON | syslog.LOG_ERR, "[system] e"),
    ]
    assert capfd.readouterr().err == ""


def test_both(capfd: pytest.CaptureFixture[str], syslogd: Syslogd) -> None:
    log = Log(no_journal, syslogd.open)
    log.configure(None, to_syslog=True, to_stderr=True)
    log.info("a")
    assert len(syslogd.lines()) == 1
    assert capfd.readouterr().err.endswith(": a\n")


def test_closed_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, data: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", fail)
    Log().info("text")


def test_journal(capfd: pytest.CaptureFixture[str], syslogd: Syslogd, tmp_path: Path) -> None:
    """With a journal, entries go there instead of syslog, with fields that tools can search for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "socket"))
        log = Log(lambda: Journal(str(tmp_path / "socket")), syslogd.open)
        log.configure("system", to_syslog=True, to_stderr=False)
        log.security("no", MESSAGE_ID=DENIED, DBUS_SENDER=":1.0", CONFIG_FILE=None, CONFIG_LINE=3)
        assert journald.recv(4096).decode().splitlines() == [
            "MESSAGE=[system] no",
            "PRIORITY=5",
            "SYSLOG_FACILITY=4",
            "SYSLOG_IDENTIFIER=omnibusd",
            f"SYSLOG_PID={os.getpid()}",
            f"MESSAGE_ID={DENIED}",
            "DBUS_SENDER=:1.0",
            "CONFIG_LINE=3",
        ]
    assert syslogd.lines() == []
    assert capfd.readouterr().err == ""


def test_no_journal_unless_asked(syslogd: Syslogd) -> None:
    """The journal is used only with --syslog."""

    def refuse() -> Journal:
        raise AssertionError("not asked for")

    log = Log(refuse, syslogd.open)
    log.configure("system", to_syslog=False, to_stderr=True)
    log.info("a")
    assert syslogd.lines() == []


def test_not_utf8(syslogd: Syslogd, capfd: pytest.CaptureFixture[str]) -> None:
    """File names may contain any bytes, which are written unchanged."""
    log = Log(no_journal, syslogd.open)
    log.configure(None, to_syslog=True, to_stderr=True)
    log.info("\udce9.service")
    assert syslogd.lines() == [(syslog.LOG_DAEMON | syslog.LOG_INFO, "\udce9.service")]
    assert capfd.readouterr().err  # it was written, whatever the fixture makes of it


class TestEpisodes:
    """A lasting condition is logged once per episode, however often it occurs."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1000.0]
        monkeypatch.setattr("omnibus.daemon.logging.time.monotonic", lambda: now[0])
        return now

    def test_episode(self, clock: list[float], capfd: pytest.CaptureFixture[str]) -> None:
        """An episode ends after a minute without the condition."""
        log = Log()
        for _ in range(100):
            log.recurrent("full", "full")
            clock[0] += EPISODE - 1
        assert capfd.readouterr().err.count("full") == 1
        clock[0] += 1
        log.recurrent("full", "full")
        assert capfd.readouterr().err.count("full") == 1

    def test_another_condition(self, clock: list[float], capfd: pytest.CaptureFixture[str]) -> None:
        log = Log()
        log.recurrent("a", "full")
        log.recurrent("b", "full")
        assert capfd.readouterr().err.count("full") == 2

    def test_failure(self, clock: list[float], capfd: pytest.CaptureFixture[str]) -> None:
        """An exception is a bug: one traceback for each place."""
        log = Log()

        def one() -> None:
            raise KeyError("a")

        def other() -> None:
            raise KeyError("b")

        for wrong in (one, other, one, other):
            try:
                wrong()
            except KeyError as error:
                log.failure(error)
        assert capfd.readouterr().err.count("Traceback") == 2


class TestUnread:
    """A line that does not fit is dropped; the number of dropped lines is logged when there is room again."""

    LOST = re.compile(r": (\d+) lines of this log are lost, since there was no room for them$")

    @contextlib.contextmanager
    def standard_error(self, kind: str) -> Iterator[int]:
        """Replace standard error by a pipe or a socket; yields the end that reads it."""
        before = os.dup(2)
        read, write = os.pipe() if kind == "pipe" else (one.detach() for one in socket.socketpair())
        os.set_blocking(read, False)
        os.dup2(write, 2)
        os.close(write)
        try:
            yield read
        finally:
            os.dup2(before, 2)
            os.close(before)
            os.close(read)

    def fill(self, log: Log) -> int:
        """Write more lines than a pipe holds; return their number."""
        for number in range(3000):
            log.info(f"{number:04} {'x' * 100}")
        return 3000

    def read(self, fd: int) -> list[str]:
        data = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(fd, 1 << 16):
                data += part
        return data.decode().splitlines()

    @pytest.mark.parametrize("kind", ["pipe", "pipe of another user", "socket"])
    def test_standard_error(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A pipe, one that can't be reopened because another user made it, and a unit's socket."""
        if kind == "pipe of another user":
            monkeypatch.setattr("omnibus.daemon.outlets.OWN", "/nonexistent/{}")
        with self.standard_error(kind.split()[0]) as read:
            log = Log()
            log.never_wait()
            n = self.fill(log)
            blocking = os.get_blocking(2)
            lines = self.read(read)
            log.info("after")
            *rest, count, after = self.read(read)
        assert blocking  # other processes write here, too
        # Where the next line has no room, the shorter one that counts it may have some.
        counts = [int(found[1]) for line in [*lines, *rest, count] if (found := self.LOST.search(line))]
        kept = [int(line.split()[1]) for line in lines + rest if not self.LOST.search(line)]
        assert kept == sorted(set(kept))
        assert kept[:100] == list(range(100))
        assert self.LOST.search(count)
        assert sum(counts) == n - len(kept)
        assert after.endswith(": after")

    def test_syslog(self, syslogd: Syslogd) -> None:
        log = Log(no_journal, syslogd.open)
        log.configure(None, to_syslog=True, to_stderr=False)
        n = self.fill(log)
        kept = len(syslogd.lines())
        log.info("after")
        (priority, count), (_, after) = syslogd.lines()
        assert priority == syslog.LOG_DAEMON | syslog.LOG_WARNING
        assert count == f"{n - kept} lines of this log are lost, since there was no room for them"
        assert after == "after"

    def test_reported_without_another_line(self, syslogd: Syslogd) -> None:
        """The report is retried until there is room."""
        log = Log(no_journal, syslogd.open)
        log.configure(None, to_syslog=True, to_stderr=False)
        later: list[Callable[[], None]] = []
        log.retry(lambda seconds, action: later.append(action))
        self.fill(log)
        for _ in range(3):
            (again,) = later
            later.clear()
            again()
        syslogd.lines()
        (again,) = later
        later.clear()
        again()
        ((_, count),) = syslogd.lines()
        assert "lines of this log are lost" in count
        assert later == []

    def test_no_syslogd(self, tmp_path: Path) -> None:
        """Without a listener no line counts as dropped, as with syslog(3)."""
        log = Log(no_journal, lambda: Syslog(str(tmp_path / "absent")))
        log.configure(None, to_syslog=True, to_stderr=False)
        later: list[Callable[[], None]] = []
        log.retry(lambda seconds, action: later.append(action))
        log.info("a")
        assert later == []

    def test_syslog_by_stream(self, tmp_path: Path) -> None:
        """/dev/log may be a stream socket; NUL ends a line."""
        path = str(tmp_path / "log")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(path)
            listening.listen(1)
            log = Log(no_journal, lambda: Syslog(path))
            log.configure(None, to_syslog=True, to_stderr=False)
            log.info("a")
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.recv(4096).endswith(b": a\0")
