"""Ratios, spreads and tables of the comparison."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from omnibus.bench.busbench import Results, Run
from omnibus.bench.cases import Metric, chosen, metrics
from omnibus.bench.report import Report, figure


def runs(case: str, key: str, *values: float) -> list[Run]:
    return [{"case": case, "ok": True, key: value} for value in values]


@pytest.fixture
def report() -> Report:
    results = Results()
    for name, rate, time in (("slow", (50.0, 100.0, 150.0), 40.0), ("fast", (200.0, 300.0, 400.0), 10.0)):
        results.add(name, runs("pipeline", "msgs_per_s", *rate))
        results.add(name, runs("bystander-large", "p99_us", time))
    results.add("fast", [{"case": "connect", "ok": False, "error": "it hung"}])
    return Report(results, ["slow", "fast"], [], "slow")


class TestRatios:
    def test_more_is_better(self) -> None:
        assert Metric("msgs_per_s", True).ratio(300, 100) == 3

    def test_less_is_better(self) -> None:
        assert Metric("p99_us", False).ratio(10, 40) == 4

    def test_without_a_baseline_there_is_none(self) -> None:
        assert Metric("p99_us", False).ratio(10, None) is None

    def test_a_bystander_is_compared_by_its_p99(self) -> None:
        assert metrics("bystander-large")[0].key == "p99_us"


def test_spread_is_a_part_of_the_median(report: Report) -> None:
    assert report.results.spread("pipeline", "slow", "msgs_per_s") == 1.0
    assert report.results.spread("bystander-large", "slow", "p99_us") is None


def test_tables(report: Report) -> None:
    tables = {title: rows for title, _, rows in report.tables()}
    assert tables["Results"] == [["pipeline", "msgs_per_s", "100.0 ±100%", "300.0 ±67%", "3"]]
    (row,) = tables["A pair's ping-pong beside abusive clients"][:1]
    assert row == ["bystander-large", "p99_us", "40.0", "10.0", "4"]


def test_report_with_plots(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path / "report.md", ["a machine"])
    text = (tmp_path / "report.md").read_text()
    assert "- a machine\n" in text
    assert "- fast connect: it hung" in text
    for name in ("ratios", "bystander"):
        assert f"(report-{name}.svg)" in text
        plot = ElementTree.parse(tmp_path / f"report-{name}.svg")
        assert any((element.text or "").startswith(("3.00", "4.00")) for element in plot.iter())


def test_aliases() -> None:
    assert "bystander-large" in chosen("rtt,bystander")
    assert chosen("rtt") == ["rtt"]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234"), (123456, "123k")]
)
def test_figure(value: float | None, text: str) -> None:
    assert figure(value) == text
