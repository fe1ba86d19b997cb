"""Where lines go and what they look like."""

from __future__ import annotations

import os
import socket
import syslog
from pathlib import Path

import pytest

from omnibus.daemon.logging import DENIED, Log
from omnibus.systemd.journal import Journal


def no_journal() -> Journal:
    raise FileNotFoundError


@pytest.fixture
def to_syslog(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: lines.append((priority, text)))
    monkeypatch.setattr(syslog, "openlog", lambda *_: None)
    return lines


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
    """It says which bus speaks."""
    log = Log()
    log.configure(bus_type, to_syslog=False, to_stderr=True)
    log.info("text")
    said = prefix.format(uid=os.geteuid(), pid=os.getpid())
    assert capfd.readouterr().err == f"omnibusd[{os.getpid()}]: {said}text\n"


def test_syslog(capfd: pytest.CaptureFixture[str], to_syslog: list[tuple[int, str]]) -> None:
    """Refusals go to the facility for authentication."""
    log = Log(no_journal)
    log.configure("system", to_syslog=True, to_stderr=False)
    log.info("a")
    log.warning("b")
    log.security("c", DBUS_SENDER=":1.0")
    log.event(syslog.LOG_NOTICE, "d")
    log.event(syslog.LOG_ERR, "e")
    assert to_syslog == [
        (syslog.LOG_DAEMON | syslog.LOG_INFO, "[system] a"),
        (syslog.LOG_DAEMON | syslog.LOG_WARNING, "[system] b"),
        (syslog.LOG_AUTH | syslog.LOG_NOTICE, "[system] c"),
        (syslog.LOG_AUTH | syslog.LOG_NOTICE, "[system] d"),
        (syslog.LOG_DAEMON | syslog.LOG_ERR, "[system] e"),
    ]
    assert capfd.readouterr().err == ""


def test_both(capfd: pytest.CaptureFixture[str], to_syslog: list[tuple[int, str]]) -> None:
    log = Log(no_journal)
    log.configure(None, to_syslog=True, to_stderr=True)
    log.info("a")
    assert len(to_syslog) == 1
    assert capfd.readouterr().err.endswith(": a\n")


def test_nobody_reads_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, data: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", fail)
    Log().info("text")


def test_journal(capfd: pytest.CaptureFixture[str], to_syslog: list[tuple[int, str]], tmp_path: Path) -> None:
    """Where there is a journal it takes the place of syslog, with fields that tools can search for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "socket"))
        log = Log(lambda: Journal(str(tmp_path / "socket")))
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
    assert to_syslog == []
    assert capfd.readouterr().err == ""


def test_no_journal_unless_asked(to_syslog: list[tuple[int, str]]) -> None:
    """It is part of what --syslog means."""

    def refuse() -> Journal:
        raise AssertionError("not asked for")

    log = Log(refuse)
    log.configure("system", to_syslog=False, to_stderr=True)
    log.info("a")
    assert to_syslog == []
