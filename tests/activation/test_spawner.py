"""Programs of services: their environment, and how their exits are detected."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from omnibus.daemon.activation.environment import Environment, inherited
from omnibus.daemon.activation.spawner import Spawner
from omnibus.daemon.activation.tools import CannotExecute, CannotFork, Program, Tools
from omnibus.daemon.guard import ignored
from omnibus.systemd.journal import open_stream
from support.daemon import children
from support.loop import guarded

SELF = """
import json, os, resource, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "argv": sys.argv[1:],
    "environment": {k: v for k, v in (one.split("=", 1) for one in open("/proc/self/environ", errors="surrogateescape").read().split("\\0") if one)},
    "blocked": int(status["SigBlk"], 16), "ignored": int(status["SigIgn"], 16),
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1],
    "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
    "session": os.getsid(0) == os.getpid(),
    "oom": int(open("/proc/self/oom_score_adj").read()),
}))
"""  # noqa: E501


class Loop:
    """A loop as in the daemon, a spawner, and the output of a program."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def run(self, spawner: Spawner, program: Program) -> int:
        """Run a program to its end; return its status as by wait(2)."""
        future = self.loop.create_future()
        spawner.spawn(program, future.set_result, ignored)
        status = self.loop.run_until_complete(asyncio.wait_for(future, 20))
        return int(status)


@pytest.fixture
def loop() -> Any:
    found = Loop()
    yield found
    found.loop.close()


def python(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Program:
    # A Python that leaves signals alone and reads no site files.
    argv = [sys.executable, "-I", "-S", "-c", code, *arguments]
    return Program("org.example.Service", argv, environment or {})


def look(loop: Loop, tmp_path: Path, program: Program, **options: Any) -> dict[str, Any]:
    """Return what the program SELF reports."""
    path = tmp_path / "out"
    saved = os.dup(1)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        try:
            assert loop.run(Spawner(guarded(loop.loop), **options), program) == 0
        finally:
            os.dup2(saved, 1)
            os.close(saved)
    return dict(json.loads(path.read_text()))


class TestProgram:
    @pytest.fixture
    def found(self, loop: Loop, tmp_path: Path) -> dict[str, Any]:
        program = python(SELF, "two words", "", "ü\udcff", environment={"A": "1=2", "B": "ü\udcff"})
        return look(loop, tmp_path, program)

    def test_arguments_and_environment(self, found: dict[str, Any]) -> None:
        """Bytes that are not UTF-8 are passed unchanged."""
        assert found["argv"] == ["two words", "", "ü\udcff"]
        assert found["environment"] == {"A": "1=2", "B": "ü\udcff"}

    def test_signals(self, found: dict[str, Any]) -> None:
        """None is blocked, only SIGPIPE is ignored; Python ignores SIGXFSZ itself, libc keeps 32 and 33."""
        others = 1 << signal.SIGXFSZ - 1 | 0b11 << 31
        assert found["blocked"] == 0
        assert found["ignored"] & ~others == 1 << signal.SIGPIPE - 1

    def test_descriptors(self, found: dict[str, Any]) -> None:
        assert found["fds"] == [0, 1, 2]

    def test_session(self, found: dict[str, Any]) -> None:
        """It does not end with the bus's terminal."""
        assert found["session"]

    def test_inherited_descriptor(self, loop: Loop, tmp_path: Path) -> None:
        """Not even a descriptor without close-on-exec."""
        fd = os.dup(0)
        os.set_inheritable(fd, True)
        try:
            assert look(loop, tmp_path, python(SELF))["fds"] == [0, 1, 2]
        finally:
            os.close(fd)

    def test_blocked_and_ignored_signals(self, loop: Loop, tmp_path: Path) -> None:
        """The bus's signal dispositions are not inherited, and a start does not change them."""
        old = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            found = look(loop, tmp_path, python(SELF))
            assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
            assert signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        finally:
            signal.signal(signal.SIGUSR1, old)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        assert found["blocked"] == 0
        assert not found["ignored"] & 1 << signal.SIGUSR1 - 1

    def test_limit_of_descriptors(self, loop: Loop, tmp_path: Path) -> None:
        """It is the limit that the bus was started with, before it raised its own."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        found = look(loop, tmp_path, python(SELF), fd_limit=(soft - 100, hard))
        assert found["limit"] == [soft - 100, hard]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)

    def test_no_limit(self, loop: Loop, tmp_path: Path) -> None:
        assert look(loop, tmp_path, python(SELF))["limit"] == list(resource.getrlimit(resource.RLIMIT_NOFILE))

    @pytest.fixture
    def oom_score(self) -> Any:
        score = Path("/proc/self/oom_score_adj")
        before = score.read_text()
        yield score
        score.write_text(before)

    def test_protection_from_the_oom_killer(self, loop: Loop, tmp_path: Path, oom_score: Path) -> None:
        """The protection is the bus's only."""
        try:
            oom_score.write_text("-10")
        except PermissionError:
            pytest.skip("needs CAP_SYS_RESOURCE, to be protected")
        assert look(loop, tmp_path, python(SELF))["oom"] == 0
        assert oom_score.read_text() == "-10\n"

    def test_exposure_to_the_oom_killer(self, loop: Loop, tmp_path: Path, oom_score: Path) -> None:
        """The score is kept: only a privileged process may lower it."""
        oom_score.write_text("10")
        assert look(loop, tmp_path, python(SELF))["oom"] == 10


class TestEnd:
    def test_exit_code(self, loop: Loop) -> None:
        status = loop.run(Spawner(guarded(loop.loop)), Program("a.b", ["/bin/sh", "-c", "exit 3"], {}))
        assert os.waitstatus_to_exitcode(status) == 3

    def test_signal(self, loop: Loop) -> None:
        status = loop.run(Spawner(guarded(loop.loop)), Program("a.b", ["/bin/sh", "-c", "kill -9 $$"], {}))
        assert os.WTERMSIG(status) == 9

    def test_killed(self, loop: Loop) -> None:
        future = loop.loop.create_future()
        child = Spawner(guarded(loop.loop)).spawn(
            Program("a.b", ["/bin/sleep", "60"], {}), future.set_result, ignored
        )
        child.kill()
        status = loop.loop.run_until_complete(asyncio.wait_for(future, 20))
        assert os.WTERMSIG(status) == signal.SIGKILL
        child.kill()  # too late, and another process may have the ID

    def test_nothing_is_left_behind(self, loop: Loop) -> None:
        before = sorted(os.listdir("/proc/self/fd")), children()
        loop.run(Spawner(guarded(loop.loop)), Program("a.b", ["/bin/true"], {}))
        for path in ("/no/such/program", "/"):
            with pytest.raises(CannotExecute):
                Spawner(guarded(loop.loop)).spawn(Program("a.b", [path], {}), ignored, ignored)
        assert (sorted(os.listdir("/proc/self/fd")), children()) == before


class TestExecFails:
    @pytest.mark.parametrize(
        ("path", "number"),
        [("/no/such/program", errno.ENOENT), ("/", errno.EACCES), ("sh", errno.ENOENT), ("", errno.ENOENT)],
    )
    def test_why(self, loop: Loop, path: str, number: int) -> None:
        """$PATH is not searched."""
        program = Program("a.b", [path], {"PATH": "/bin"})
        with pytest.raises(CannotExecute) as caught:
            Spawner(guarded(loop.loop)).spawn(program, ignored, ignored)
        assert (caught.value.errno, caught.value.strerror) == (number, os.strerror(number))

    def test_arguments_too_long(self, loop: Loop) -> None:
        with pytest.raises(CannotExecute, match="Argument list too long"):
            Spawner(guarded(loop.loop)).spawn(
                Program("a.b", ["/bin/true", "x" * (1 << 20)], {}), ignored, ignored
            )


class TestForkFails:
    def test_no_descriptors_left(self, loop: Loop) -> None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
        try:
            with pytest.raises(CannotFork, match="Too many open files"):
                Spawner(guarded(loop.loop)).spawn(Program("a.b", ["/bin/true"], {}), ignored, ignored)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)


class TestJournal:
    """With syslog, the output of services is logged under their own names."""

    @pytest.fixture
    def journal(self, tmp_path: Path) -> Any:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "stdout"))
            listener.listen()
            listener.settimeout(20)
            yield listener

    def read(self, journal: socket.socket) -> bytes:
        connection, _ = journal.accept()
        with connection, connection.makefile("rb") as file:
            return bytes(file.read())

    def test_stream(self, journal: socket.socket) -> None:
        fd = open_stream("a.b", 6, journal.getsockname())
        assert fd is not None
        assert os.get_blocking(fd)
        assert not os.get_inheritable(fd)
        os.write(fd, b"text\n")
        os.close(fd)
        assert self.read(journal) == b"a.b\n\n6\n0\n0\n0\n0\ntext\n"

    def test_no_journal(self, tmp_path: Path) -> None:
        assert open_stream("a.b", 6, str(tmp_path / "no")) is None

    def test_output_of_a_program(
        self, loop: Loop, journal: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def open_it(name: str, level: int) -> int | None:
            return open_stream(name, level, journal.getsockname())

        monkeypatch.setattr("omnibus.daemon.activation.spawner.open_stream", open_it)
        program = Program("a.b", ["/bin/sh", "-c", "echo out; echo err >&2"], {})
        assert loop.run(Spawner(guarded(loop.loop), to_journal=True), program) == 0
        assert self.read(journal) == b"a.b\n\n6\n0\n0\n0\n0\nout\n"
        assert self.read(journal) == b"a.b\n\n4\n0\n0\n0\n0\nerr\n"


class TestTools:
    """Results are handled in the loop, and the commands are committed."""

    @pytest.fixture
    def log(self) -> list[Any]:
        return []

    @pytest.fixture
    def tools(self, loop: Loop, log: list[Any]) -> Tools:
        return Tools(
            guarded(loop.loop, lambda: log.append("commit")),
            Spawner(guarded(loop.loop, lambda: log.append("commit"))),
        )

    def wait(self, loop: Loop, begin: Callable[[Callable[..., None]], object]) -> Sequence[Any]:
        future = loop.loop.create_future()
        begin(lambda *result: future.set_result(result))
        return list(loop.loop.run_until_complete(asyncio.wait_for(future, 20)))

    def test_in_background(self, loop: Loop, tools: Tools, log: list[Any]) -> None:
        (where,) = self.wait(loop, lambda done: tools.in_background(threading.current_thread, done, ignored))
        assert where is not threading.current_thread()
        assert log == ["commit"]

    def test_thread_fails(self, loop: Loop, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", start)
        assert self.wait(loop, lambda done: tools.in_background(lambda: 7, done, ignored)) == [7]

    def test_loop_that_is_closed(self, log: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
        """At the end of the daemon no result is awaited."""
        loop = asyncio.new_event_loop()
        tools = Tools(guarded(loop), Spawner(guarded(loop)))
        may_end, ended = threading.Event(), threading.Event()

        def work() -> None:
            may_end.wait(20)
            threading.current_thread().name = "seen"

        tools.in_background(work, lambda result: ended.set(), ignored)
        (thread,) = [
            one for one in threading.enumerate() if one is not threading.main_thread() and one.daemon
        ][-1:]
        loop.close()
        may_end.set()
        thread.join(20)
        assert not ended.is_set()
        assert capsys.readouterr().err == ""

    def test_later(self, loop: Loop, tools: Tools, log: list[Any]) -> None:
        assert self.wait(loop, lambda done: tools.later(0.001, done, ignored)) == []
        assert log == ["commit"]

    def test_not_later(self, loop: Loop, tools: Tools) -> None:
        happened: list[int] = []
        tools.later(0.001, lambda: happened.append(1), ignored).cancel()
        self.wait(loop, lambda done: tools.later(0.01, done, ignored))
        assert happened == []

    def test_spawn(self, loop: Loop, tools: Tools, log: list[Any]) -> None:
        program = Program("a.b", ["/bin/true"], {})
        assert self.wait(loop, lambda ended: tools.spawn(program, ended, ignored)) == [0]
        assert log == ["commit"]


class TestInherited:
    """Services inherit the environment that the bus was started with."""

    def test_variables_of_python_are_removed(self) -> None:
        """Python sets LC_CTYPE where there is no locale."""
        code = "from omnibus.daemon.activation.environment import *; print(sorted(inherited()))"
        path = os.pathsep.join(one for one in sys.path if one)
        read, write = os.pipe()
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", code],
            {"PYTHONPATH": path},
            file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)],
        )
        os.close(write)
        with open(read, "rb") as file:
            assert file.read() == b"[b'PYTHONPATH']\n"
        assert os.waitpid(pid, 0)[1] == 0

    def test_without_proc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_file(*arguments: object) -> None:
            raise FileNotFoundError

        monkeypatch.setattr("builtins.open", no_file)
        assert inherited() == dict(os.environb)

    @pytest.mark.parametrize(
        "variable",
        [
            *(
                "JOURNAL_STREAM",
                "LISTEN_FDS",
                "LISTEN_FDNAMES",
                "LISTEN_PID",
                "NOTIFY_SOCKET",
                "INVOCATION_ID",
            ),
            *("FDSTORE", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "SYSTEMD_EXEC_PID"),
        ],
    )
    def test_variables_of_the_bus_are_removed(self, variable: str) -> None:
        environment = Environment({variable.encode(): b"1", b"MANAGERPID": b"1"}, "a", None)
        assert environment.for_program() == {"MANAGERPID": "1", "DBUS_STARTER_ADDRESS": "a"}

    @pytest.mark.parametrize(
        ("bus_type", "variables"),
        [
            (None, {}),
            ("other", {"DBUS_STARTER_BUS_TYPE": "other"}),
            ("session", {"DBUS_STARTER_BUS_TYPE": "session", "DBUS_SESSION_BUS_ADDRESS": "a"}),
            ("system", {"DBUS_STARTER_BUS_TYPE": "system", "DBUS_SYSTEM_BUS_ADDRESS": "a"}),
        ],
    )
    def test_types_of_bus(self, bus_type: str | None, variables: dict[str, str]) -> None:
        assert Environment({}, "a", bus_type).for_program() == {"DBUS_STARTER_ADDRESS": "a", **variables}
