"""Reading the configuration in a child process."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from omnibus.daemon.configuration import ForkedReading, Rereading
from omnibus.policy.error import ConfigError
from omnibus.policy.load import run_child
from omnibus.policy.settings import Settings
from support.daemon import children
from support.loop import guarded

GOOD = "<busconfig><type>good</type><listen>unix:path=/x</listen></busconfig>"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bus.conf"
    path.write_text(GOOD)
    return path


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


PATIENCE = 30.0  # seconds


class TestForkedReading:
    def test_settings(self, file: Path) -> None:
        before, others = open_fds(), children()
        settings = ForkedReading(str(file)).result(PATIENCE)
        assert (settings.bus_type, settings.listen) == ("good", ("unix:path=/x",))
        assert open_fds() == before
        assert children() <= others

    def test_error(self, file: Path) -> None:
        file.write_text("<busconfig><nonsense/></busconfig>")
        with pytest.raises(ConfigError, match="nonsense"):
            ForkedReading(str(file)).result(PATIENCE)

    def test_clients(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The child closes the connections of clients, which end when the bus ends them."""
        ours, theirs = socket.socketpair()
        held, release = os.pipe()

        def wait(path: str, fd: int, own_path: str | None = None) -> int:
            os.read(0, 1)
            return run_child(path, fd, own_path)

        monkeypatch.setattr("omnibus.daemon.configuration.run_child", wait)
        stdin = os.dup(0)
        os.dup2(held, 0)
        try:
            reading = ForkedReading(str(file))
        finally:
            os.dup2(stdin, 0)
            os.close(stdin)
        ours.close()
        theirs.settimeout(PATIENCE)
        assert theirs.recv(1) == b""
        os.write(release, b"x")
        assert reading.result(PATIENCE).bus_type == "good"
        for fd in (held, release):
            os.close(fd)
        theirs.close()

    def test_takes_too_long(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def hang(path: str, fd: int, own_path: str | None = None) -> int:
            signal.pause()
            return 1

        monkeypatch.setattr("omnibus.daemon.configuration.run_child", hang)
        before, others = open_fds(), children()
        with pytest.raises(ConfigError, match="took too long"):
            ForkedReading(str(file)).result(0.0)
        assert open_fds() == before
        assert children() <= others

    @pytest.mark.parametrize("call", ["fork", "pipe2"])
    def test_no_child(self, file: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """If no process can be created, the daemon itself reads the configuration."""

        def refuse(*_: object) -> int:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        monkeypatch.setattr(os, call, refuse)
        before = open_fds()
        assert ForkedReading(str(file)).result(PATIENCE).bus_type == "good"
        assert open_fds() == before
        with pytest.raises(ConfigError, match="No such file"):
            ForkedReading(str(file.with_name("none"))).result(PATIENCE)

    def test_child_dies(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def die(path: str, fd: int) -> int:
            os._exit(3)

        monkeypatch.setattr("omnibus.daemon.configuration.run_child", die)
        with pytest.raises(ConfigError, match="without a result"):
            ForkedReading(str(file)).result(PATIENCE)


Result = Settings | ConfigError


class TestRereading:
    @pytest.fixture
    def reread(self) -> Callable[..., asyncio.Future[Result]]:
        def begin(path: str, **options: float) -> asyncio.Future[Result]:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Result] = loop.create_future()
            Rereading(guarded(loop), path, future.set_result, **options)
            return future

        return begin

    async def test_settings(self, file: Path, reread: Callable[..., asyncio.Future[Result]]) -> None:
        before = open_fds()
        result = await asyncio.wait_for(reread(str(file)), 30)
        assert isinstance(result, Settings)
        assert result.bus_type == "good"
        assert open_fds() == before

    async def test_error(self, tmp_path: Path, reread: Callable[..., asyncio.Future[Result]]) -> None:
        result = await asyncio.wait_for(reread(str(tmp_path / "none")), 30)
        assert isinstance(result, ConfigError)
        assert "No such file" in str(result)

    async def test_file_named_by_a_descriptor(
        self, file: Path, reread: Callable[..., asyncio.Future[Result]]
    ) -> None:
        """As given by the conformance suites: a descriptor with close-on-exec."""
        with file.open() as stream:
            result = await asyncio.wait_for(reread(f"/proc/self/fd/{stream.fileno()}"), 30)
        assert isinstance(result, Settings)

    async def test_nothing_from_the_current_directory(
        self,
        file: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        reread: Callable[..., asyncio.Future[Result]],
    ) -> None:
        """Otherwise code could be run by any user with write access to the directory of the start."""
        (tmp_path / "omnibus").mkdir()
        (tmp_path / "omnibus/__init__.py").write_text("raise SystemExit")
        (tmp_path / "marshal.py").write_text("raise SystemExit")
        monkeypatch.chdir(tmp_path)
        result = await asyncio.wait_for(reread(str(file)), 30)
        assert isinstance(result, Settings)

    async def test_no_interpreter(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.executable", "/no/such/python")
        before = open_fds()
        with pytest.raises(FileNotFoundError):
            Rereading(guarded(asyncio.get_running_loop()), str(file), lambda result: None)
        assert open_fds() == before

    @pytest.mark.parametrize("number", [errno.EAGAIN, errno.EPERM])
    async def test_no_child(
        self,
        file: Path,
        tmp_path: Path,
        number: int,
        monkeypatch: pytest.MonkeyPatch,
        reread: Callable[..., asyncio.Future[Result]],
    ) -> None:
        """If no process can be created, the daemon itself reads the configuration."""

        def refuse(*_: object, **__: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_spawn", refuse)
        before = open_fds()
        result = await asyncio.wait_for(reread(str(file)), 30)
        assert isinstance(result, Settings)
        assert result.bus_type == "good"
        assert isinstance(await asyncio.wait_for(reread(str(tmp_path / "none")), 30), ConfigError)
        assert open_fds() == before

    async def test_no_child_given_up(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> int:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        monkeypatch.setattr(os, "posix_spawn", refuse)
        results: list[Result] = []
        Rereading(guarded(asyncio.get_running_loop()), str(file), results.append).cancel()
        await asyncio.sleep(0)
        assert results == []

    async def test_low_priority(self, stuck: Path) -> None:
        """Clients have priority."""
        others = children()
        reading = Rereading(guarded(asyncio.get_running_loop()), str(stuck), lambda result: None)
        (child,) = children() - others
        assert os.getpriority(os.PRIO_PROCESS, child) >= 10
        assert os.sched_getscheduler(child) == os.SCHED_BATCH
        reading.cancel()

    @pytest.fixture
    def stuck(self, tmp_path: Path) -> Path:
        """A file that takes longer to read than the time-out."""
        path = tmp_path / "stuck.conf"
        path.write_text(GOOD + " " * 1000)
        return path

    async def test_takes_too_long(self, stuck: Path, reread: Callable[..., asyncio.Future[Result]]) -> None:
        before, others = open_fds(), children()
        result = await asyncio.wait_for(reread(str(stuck), patience=0.0), 30)
        assert str(result) == f"{stuck}: Reading the configuration took too long"
        assert open_fds() == before
        assert children() <= others

    async def test_cancelled(self, file: Path) -> None:
        """The bus ends during a reading."""
        before, others = open_fds(), children()
        results: list[Result] = []
        Rereading(guarded(asyncio.get_running_loop()), str(file), results.append).cancel()
        assert open_fds() == before
        assert children() <= others
        assert not results
