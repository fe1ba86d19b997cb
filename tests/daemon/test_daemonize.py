"""Process set-up, executed in a child of the test."""

from __future__ import annotations

import os
import pwd
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from omnibus.daemon import daemonize, pidfile
from support.retries import USERS, retry_on_changes_of


def in_child(code: str, **options: object) -> str:
    """Run Python code; return its output."""
    program = f"from omnibus.daemon import daemonize\nimport os, resource\n{code}"
    done = subprocess.run(  # type: ignore[call-overload]
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30, **options
    )
    return str(done.stdout).strip()


class TestDescriptors:
    @pytest.mark.parametrize("closed", [(0,), (0, 1, 2), (2,), (1, 2)])
    def test_closed_standard_descriptors(self, closed: tuple[int, ...], tmp_path: Path) -> None:
        """No file opened later gets a number below 3."""
        result = tmp_path / "result"
        in_child(
            f"for fd in {closed}: os.close(fd)\n"
            "daemonize.prepare_descriptors()\n"
            f"fd = os.open({str(result)!r}, os.O_WRONLY | os.O_CREAT)\n"
            "os.write(fd, f'{fd} {os.readlink(\"/proc/self/fd/0\")}'.encode())\n"
        )
        number, stdin = result.read_text().split()
        assert int(number) >= 3
        assert stdin == "/dev/null"

    def test_nothing_is_inherited(self) -> None:
        reading, writing = os.pipe()
        text = in_child(
            "daemonize.prepare_descriptors()\n"
            f"print([os.get_inheritable(fd) for fd in (0, 1, 2, {reading}, {writing})])",
            pass_fds=(reading, writing),
        )
        os.close(reading)
        os.close(writing)
        assert text == "[True, True, True, False, False]"

    def test_without_proc(self) -> None:
        """Without /proc the open descriptors can't be listed."""
        reading, writing = os.pipe()
        text = in_child(
            "os.listdir = lambda path: os.scandir('/nonexistent')\n"
            "daemonize.prepare_descriptors()\n"
            f"print([os.get_inheritable(fd) for fd in (0, 1, 2, {reading}, {writing})])",
            pass_fds=(reading, writing),
        )
        os.close(reading)
        os.close(writing)
        assert text == "[True, True, True, False, False]"

    def test_without_dev(self) -> None:
        text = in_child(
            "os.devnull = '/nonexistent/null'\n"
            "try: daemonize.prepare_descriptors()\n"
            "except daemonize.ProcessError as error: print(error)"
        )
        assert text == "Failed to open /nonexistent/null: No such file or directory"

    def test_open(self) -> None:
        daemonize.check_open(1)

    def test_not_open(self) -> None:
        with pytest.raises(daemonize.ProcessError, match="Writing to pipe: Bad file descriptor"):
            daemonize.check_open(99_999)


class TestPrinting:
    def test_closes(self) -> None:
        reading, writing = os.pipe()
        daemonize.print_line(writing, "unix:path=/x")
        assert os.read(reading, 100) == b"unix:path=/x\n"
        assert os.read(reading, 100) == b""
        os.close(reading)

    def test_closed_pipe(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with pytest.raises(daemonize.ProcessError, match="Writing to pipe: Broken pipe"):
            daemonize.print_line(writing, "x")
        os.close(writing)


class TestLimit:
    def test_raised(self) -> None:
        """The limit becomes 65536 if allowed, and at least the hard limit."""
        old = resource.getrlimit(resource.RLIMIT_NOFILE)
        code = "resource.setrlimit(resource.RLIMIT_NOFILE, (100, {}))\nprint(daemonize.raise_fd_limit())\n"
        text = in_child(code.format(old[1]) + "print(resource.getrlimit(resource.RLIMIT_NOFILE))")
        before, after = (tuple(map(int, line.strip("()").split(","))) for line in text.splitlines())
        assert before == (100, old[1])
        assert after[0] >= min(daemonize.ENOUGH_FDS, old[1])


class TestUser:
    @retry_on_changes_of(*USERS)
    def test_by_name_and_number(self) -> None:
        me = pwd.getpwuid(os.geteuid())
        assert daemonize.find_user(me.pw_name) == me
        assert daemonize.find_user(str(me.pw_uid)) == me

    @pytest.mark.parametrize("name", ["no-such-user", "2147483000", "99999999999999999999"])
    def test_unknown(self, name: str) -> None:
        with pytest.raises(
            daemonize.ProcessError, match=f'^Could not get UID and GID for username "{name}"$'
        ):
            daemonize.find_user(name)

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
    @retry_on_changes_of(*USERS)
    def test_become(self) -> None:
        """All ids, real, effective and saved, and all groups."""
        text = in_child(
            "daemonize.become(daemonize.find_user('nobody'))\n"
            "print(os.getresuid(), os.getresgid(), sorted(set(os.getgroups())))"
        )
        account = pwd.getpwnam("nobody")
        uid, gid = account.pw_uid, account.pw_gid
        assert text == f"({uid}, {uid}, {uid}) ({gid}, {gid}, {gid}) [{gid}]"

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
    def test_not_permitted(self) -> None:
        text = in_child(
            "daemonize.become(daemonize.find_user('nobody'))\n"
            "try: daemonize.become(daemonize.find_user('root'))\n"
            "except daemonize.ProcessError as error: print(error)"
        )
        assert text == "Failed to set GID to 0: Operation not permitted"


class TestPidFile:
    def test_written_and_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        pidfile.check(str(path))
        pidfile.write(str(path), 42)
        assert path.read_text() == "42\n"
        assert path.stat().st_mode & 0o133 == 0
        pidfile.remove(str(path))
        assert not path.exists()
        pidfile.remove(str(path))

    def test_exists(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        path.touch()
        with pytest.raises(
            pidfile.PidFileError, match="exists, if the message bus is not running, remove this file"
        ):
            pidfile.check(str(path))
        with pytest.raises(pidfile.PidFileError, match=r'^Failed to open ".*": File exists$'):
            pidfile.write(str(path), 42)

    def test_full_disk(self) -> None:
        with pytest.raises(pidfile.PidFileError):
            pidfile.write("/dev/full/pid", 42)
