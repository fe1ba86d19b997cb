"""What the report says of memory, starts, rest and growth."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from omnibus.bench.daemons import COMMANDS, OURS, Daemon
from omnibus.bench.footprint import Footprint, charts, mean_cost, parse, replace, section
from omnibus.bench.growth import Measure, Sample, Step, endure
from omnibus.bench.lines import lines
from omnibus.bench.rest import Rest, Start, start
from omnibus.bench.settings import WIDE
from omnibus.bench.usage import cpu, own_memory, pss, wakeups
from support.daemon import private_directory
from support.raw import DEADLINE


@pytest.fixture
def directory() -> Iterator[Path]:
    path = private_directory()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def daemon(directory: Path) -> Iterator[Daemon]:
    one = Daemon(OURS, COMMANDS[OURS], WIDE, directory / "bus")
    yield one
    one.stop()


class TestMeasuring:
    def test_usage(self, daemon: Daemon) -> None:
        pids = daemon.pids()
        assert 0 < own_memory(pids) <= pss(pids)
        assert cpu(pids) > 0
        end = time.monotonic() + DEADLINE
        while not wakeups(pids):  # it sleeps once it has nothing to do
            assert time.monotonic() < end
            time.sleep(0.05)

    def test_start(self, directory: Path) -> None:
        bus, client, one = start(OURS, COMMANDS[OURS], directory / "bus")
        client.close()
        bus.stop()
        assert one.cpu > 0
        assert one.elapsed > 0

    @pytest.mark.parametrize("kind", ["connections", "rules", "names"])
    def test_growth(self, daemon: Daemon, kind: str) -> None:
        """Each step is of the items since the one before; nothing is left when the clients are gone."""
        measure = Measure(daemon)
        steps = list(getattr(measure, kind)((50, 200)))
        measure.close()
        assert [step.n for step in steps] == [50, 200]
        assert all(step.cpu > 0 and step.call > 0 for step in steps)
        assert daemon.alive()

    def test_limits_of_one_connection(self, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
        """More rules than one connection may have are those of several."""
        monkeypatch.setattr("omnibus.bench.growth.RULES_OF_ONE", 30)
        measure = Measure(daemon)
        list(measure.rules((20, 70)))
        assert len(measure.fillers) == 3
        measure.close()

    def test_endurance(self, daemon: Daemon) -> None:
        samples = list(endure(daemon, 2000, 0.6, 3))
        assert len(samples) == 3
        assert sum(one.messages for one in samples) >= 600
        assert all(one.memory > 0 for one in samples)


@pytest.fixture
def found() -> dict[str, Footprint]:
    steps = [Step(10, 2.0, 100.0, 5.0), Step(100, 2.5, 90.0, 5.5)]
    samples = [Sample(float(at), 1024, 3.0, 10) for at in (1, 2, 3, 4)]
    growth = dict.fromkeys(("connections", "rules", "names"), steps)
    starts = [Start(0.01, 0.02), Start(0.03, 0.04), Start(0.02, 0.03)]
    return {name: Footprint(starts, Rest(2048, 3072, 60, 7, 1.5), growth, samples) for name in ("one", "two")}


class TestReport:
    def test_tables(self, found: dict[str, Footprint], tmp_path: Path) -> None:
        text = "\n".join(section(found, ["a fact"], tmp_path / "report.md"))
        assert "| one | 20.0 | 30.0 | 2.00 | 3.00 | 7 in 60 s | 1.5 |" in text
        assert "| two, 100 | 2.5 | 90 | 5.5 |" in text
        assert "| one | 4 | 10 | 1.00 | 1.00 | 3 | 3 |" in text
        for line in text.splitlines():
            if line.startswith("!["):
                assert (tmp_path / line.partition("(")[2].rstrip(")")).exists()

    def test_section_is_replaced(self) -> None:
        first = replace("# Report\n\nbefore\n", ["old"])
        assert replace(first + "after\n", ["new"]) == (
            "# Report\n\nbefore\n\n<!-- footprint -->\nnew\n<!-- footprint: end -->\nafter\n"
        )

    def test_plots_are_well_formed(self, found: dict[str, Footprint]) -> None:
        drawn = list(charts(found))
        assert len(drawn) == 7
        for _, _, chart in drawn:
            ElementTree.fromstring(chart)

    def test_one_point(self) -> None:
        ElementTree.fromstring(lines("a < b", "x", "y", {"one": [(5, -1.0)]}, log_x=True))

    def test_messages_count_alike(self) -> None:
        assert mean_cost([Sample(1, 0, 2.0, 30), Sample(2, 0, 6.0, 10)]) == 3.0

    def test_hour(self) -> None:
        assert parse(["--endure", "3600"]).endure == 3600
