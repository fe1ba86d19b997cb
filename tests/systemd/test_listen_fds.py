"""sd_listen_fds(3)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from omnibus.systemd import listen_fds
from omnibus.systemd.listen_fds import ListenFdsError, PassedFd, take_listen_fds

START = 700


@pytest.fixture(autouse=True)
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Two inheritable descriptors, at numbers that the test process does not use."""
    monkeypatch.setattr(listen_fds, "LISTEN_FDS_START", START)
    with open(os.devnull, "rb") as null:
        descriptors = [fcntl.fcntl(null, fcntl.F_DUPFD, START) for _ in range(2)]
    assert descriptors == [START, START + 1]
    yield descriptors
    for descriptor in descriptors:
        os.close(descriptor)


def announce(count: object = 2, pid: object = None, **more: str) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid() if pid is None else pid), "LISTEN_FDS": str(count), **more}


def test_first_is_three(monkeypatch):
    """The first file descriptor may be found at file descriptor number 3."""
    monkeypatch.undo()
    assert listen_fds.LISTEN_FDS_START == 3


def test_passed():
    assert take_listen_fds(announce()) == [PassedFd(START), PassedFd(START + 1)]


def test_close_on_exec(passed):
    """The FD_CLOEXEC flag is set for all passed file descriptors."""
    assert all(map(os.get_inheritable, passed))
    take_listen_fds(announce())
    assert not any(map(os.get_inheritable, passed))


@pytest.mark.parametrize(
    ("names", "expected"),
    [("bus:metrics", ["bus", "metrics"]), ("bus", ["bus", ""]), ("a:b:c", ["a", "b"]), (":b", ["", "b"])],
)
def test_names(names, expected):
    """LISTEN_FDNAMES has a name for each."""
    passed = take_listen_fds(announce(LISTEN_FDNAMES=names))
    assert [one.name for one in passed] == expected


def test_environment_is_cleared():
    """A child that inherits the environment must not assume that it was passed descriptors."""
    environment = announce(LISTEN_FDNAMES="a:b", LISTEN_PIDFDID="7", HOME="/root")
    take_listen_fds(environment)
    assert environment == {"HOME": "/root"}
    assert take_listen_fds(environment) == []


def test_for_another_process(passed):
    """If LISTEN_PID is not the own process ID, nothing was passed; the descriptors are not touched."""
    environment = announce(pid=1)
    assert take_listen_fds(environment) == []
    assert environment == {}
    assert all(map(os.get_inheritable, passed))


@pytest.mark.parametrize("environment", [{}, {"LISTEN_FDS": "2"}, {"LISTEN_PID": str(os.getpid())}])
def test_nothing_passed(environment):
    assert take_listen_fds(environment) == []


@pytest.mark.parametrize("count", ["two", "-1", "2 "])
def test_malformed_count(count):
    with pytest.raises(ListenFdsError, match="Invalid argument"):
        take_listen_fds(announce(count))


@pytest.mark.parametrize("count", ["two", "-1", "2 "])
def test_malformed_count_for_another_process(count):
    """LISTEN_PID is compared first."""
    assert take_listen_fds(announce(count, pid=1)) == []


def test_malformed_pid():
    with pytest.raises(ListenFdsError, match="Invalid argument"):
        take_listen_fds(announce(pid="me"))


@pytest.mark.parametrize("count", [3, 10**12])
def test_fewer_than_announced(count):
    with pytest.raises(ListenFdsError, match="Bad file descriptor"):
        take_listen_fds(announce(count))
