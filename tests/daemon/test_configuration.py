"""Reading the configuration in another process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from omnibus.daemon.configuration import FirstReading, Rereading
from omnibus.policy.error import ConfigError
from omnibus.policy.settings import Settings

GOOD = "<busconfig><type>good</type><listen>unix:path=/x</listen></busconfig>"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bus.conf"
    path.write_text(GOOD)
    return path


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


class TestFirstReading:
    def test_settings(self, file: Path) -> None:
        before = open_fds()
        settings = FirstReading(str(file)).result()
        assert (settings.bus_type, settings.listen) == ("good", ("unix:path=/x",))
        assert open_fds() == before

    def test_error(self, file: Path) -> None:
        file.write_text("<busconfig><nonsense/></busconfig>")
        with pytest.raises(ConfigError, match="nonsense"):
            FirstReading(str(file)).result()

    def test_child_dies(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def die(path: str, fd: int) -> int:
            os._exit(3)

        monkeypatch.setattr("omnibus.daemon.configuration.run_child", die)
        with pytest.raises(ConfigError, match="without a result"):
            FirstReading(str(file)).result()


class TestRereading:
    @pytest.fixture
    def reread(self) -> Callable[[str], asyncio.Future[Settings | Exception]]:
        def begin(path: str) -> asyncio.Future[Settings | Exception]:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Settings | Exception] = loop.create_future()
            Rereading(loop, path, future.set_result).start()
            return future

        return begin

    async def test_settings(
        self, file: Path, reread: Callable[[str], asyncio.Future[Settings | Exception]]
    ) -> None:
        before = open_fds()
        result = await asyncio.wait_for(reread(str(file)), 30)
        assert isinstance(result, Settings)
        assert result.bus_type == "good"
        assert open_fds() == before

    async def test_error(
        self, tmp_path: Path, reread: Callable[[str], asyncio.Future[Settings | Exception]]
    ) -> None:
        result = await asyncio.wait_for(reread(str(tmp_path / "none")), 30)
        assert isinstance(result, ConfigError)
        assert "No such file" in str(result)

    async def test_file_named_by_a_descriptor(
        self, file: Path, reread: Callable[[str], asyncio.Future[Settings | Exception]]
    ) -> None:
        """As the conformance suites give it: a descriptor that is closed on exec."""
        with file.open() as stream:
            result = await asyncio.wait_for(reread(f"/proc/self/fd/{stream.fileno()}"), 30)
        assert isinstance(result, Settings)

    async def test_asked_for_while_it_is_under_way(self, file: Path) -> None:
        """What changed in between counts: it is read once more, and reported once."""
        results: list[Settings | Exception] = []
        done = asyncio.Event()

        def report(result: Settings | Exception) -> None:
            results.append(result)
            done.set()

        reading = Rereading(asyncio.get_running_loop(), str(file), report)
        reading.start()
        file.write_text(GOOD.replace("good", "better"))  # noqa: ASYNC240
        reading.start()
        reading.start()
        await asyncio.wait_for(done.wait(), 30)
        (result,) = results
        assert isinstance(result, Settings)
        assert result.bus_type == "better"

    async def test_nothing_from_the_current_directory(
        self,
        file: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        reread: Callable[[str], asyncio.Future[Settings | Exception]],
    ) -> None:
        """Else whoever can write where the bus was started could run code in it."""
        (tmp_path / "omnibus").mkdir()
        (tmp_path / "omnibus/__init__.py").write_text("raise SystemExit")
        (tmp_path / "marshal.py").write_text("raise SystemExit")
        monkeypatch.chdir(tmp_path)
        result = await asyncio.wait_for(reread(str(file)), 30)
        assert isinstance(result, Settings)

    async def test_no_interpreter(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.executable", "/no/such/python")
        results: list[Settings | Exception] = []
        before = open_fds()
        Rereading(asyncio.get_running_loop(), str(file), results.append).start()
        assert isinstance(results[0], OSError)
        assert open_fds() == before
