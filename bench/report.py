"""Tables of ratios and spreads, for a terminal and as Markdown with plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .busbench import Results
from .cases import COSTS, MULTICASTS, Metric, metrics
from .plot import Bar, bars

Table = tuple[str, list[str], list[list[str]]]  # title, head, rows


def figure(value: float | None) -> str:
    """Format a number with about three digits."""
    if value is None:
        return "-"
    if value >= 100000:
        return f"{value / 1000:.0f}k"
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


class Report:
    """The results of a comparison."""

    def __init__(self, results: Results, names: Sequence[str], floors: Sequence[str], baseline: str) -> None:
        self.results = results
        self.names = list(names)
        self.floors = list(floors)
        self.baseline = baseline
        self.others = [name for name in names if name != baseline]

    def cases(self) -> list[str]:
        """Return the daemons' cases, in the order of measurement."""
        runs = self.results.runs
        return [case for case in runs if any(name in runs[case] for name in self.names)]

    def tables(self) -> list[Table]:
        """Return all tables that are not empty."""
        found = [
            self._results("Results", [case for case in self.cases() if not case.startswith("bystander")]),
            self._results("A pair's ping-pong beside abusive clients", self._bystanders()),
            self._costs(),
            self._memory(),
            self._syscalls(),
            self._multicast(),
        ]
        return [table for table in found if table[2]]

    def text(self, facts: Sequence[str]) -> str:
        """Return the report for a terminal."""
        lines = list(facts)
        for title, head, rows in self.tables():
            widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
            lines += ["", title]
            for row in [head, *rows]:
                cells = [
                    cell.rjust(width) if i else cell.ljust(width)
                    for i, (cell, width) in enumerate(zip(row, widths, strict=True))
                ]
                lines.append("  " + "  ".join(cells))
        lines += [f"FAILED: {target} {case}: {error}" for target, case, error in self.results.failures]
        return "\n".join(lines)

    def write(self, path: Path, facts: Sequence[str]) -> None:
        """Write the report as Markdown, with plots in files beside it."""
        lines = ["# Comparison of message buses", "", *(f"- {fact}" for fact in facts)]
        lines.append(f"- a ratio above 1 is better than {self.baseline}, whatever the unit; ± is the spread,")
        lines.append("  (greatest - least) / median of all rounds")
        for name, title, chart in self._plots():
            file = path.with_name(f"{path.stem}-{name}.svg")
            file.write_text(chart)
            lines += ["", f"![{title}]({file.name})"]
        for title, head, rows in self.tables():
            lines += ["", f"## {title}", "", row_of(head), row_of(["---", *["---:"] * (len(head) - 1)])]
            lines += [row_of(row) for row in rows]
        if self.results.failures:
            lines += ["", "## Failed", ""]
            lines += [f"- {target} {case}: {error}" for target, case, error in self.results.failures]
        path.write_text("\n".join(lines) + "\n")

    def _bystanders(self) -> list[str]:
        return [case for case in self.cases() if case.startswith("bystander")]

    def _ratio(self, case: str, name: str, metric: Metric) -> float | None:
        value = self.results.median(case, name, metric.key)
        return metric.ratio(value, self.results.median(case, self.baseline, metric.key))

    def _columns(self, cases: Sequence[str]) -> list[str]:
        """Return the daemons, and the floors that one of the cases has."""
        return self.names + [
            floor for floor in self.floors if any(floor in self.results.runs[c] for c in cases)
        ]

    def _results(self, title: str, cases: Sequence[str]) -> Table:
        columns = self._columns(cases)
        head = ["case", "figure", *columns, *(f"RATIO {name}" for name in self.others)]
        rows = []
        for case in cases:
            for metric in metrics(case):
                row = [case, metric.key, *(self._cell(case, name, metric) for name in columns)]
                rows.append(row + [figure(self._ratio(case, name, metric)) for name in self.others])
        return title, head, rows

    def _cell(self, case: str, name: str, metric: Metric) -> str:
        spread = self.results.spread(case, name, metric.key)
        shown = figure(self.results.median(case, name, metric.key))
        return shown if spread is None else f"{shown} ±{100 * spread:.0f}%"

    def _costs(self) -> Table:
        columns = self._columns(self.cases())
        head = ["case", "figure", *columns, *(f"RATIO {name}" for name in self.others)]
        rows = []
        for case in self.cases():
            for metric in COSTS:
                values = [self.results.median(case, name, metric.key) for name in columns]
                if any(values):
                    ratios = [figure(self._ratio(case, name, metric)) for name in self.others]
                    what = metric.key.removeprefix("daemon_cpu_")
                    rows.append([case, what, *map(figure, values), *ratios])
        return "CPU time of the daemon", head, rows

    def _memory(self) -> Table:
        memory = self.results.memory
        sizes = sorted({n for runs in memory.values() for n in runs})
        head = ["daemon", *(f"PSS KiB @{n}" for n in sizes), "a connection"]
        rows = []
        for name, runs in memory.items():
            last = runs.get(sizes[-1], {})
            row = [name, *(figure(runs.get(n, {}).get("pss_kib")) for n in sizes)]
            rows.append([*row, figure(last.get("pss_kib_per_connection"))])
        return "Memory", head, rows

    def _syscalls(self) -> Table:
        rows = []
        for group, counted in self.results.syscalls.items():
            for name, run in counted.items():
                which = ", ".join(f"{call} {n:g}" for call, n in run["calls"].items())
                rows.append([group, name, f"{run['per_message']:.2f}", which])
        return "System calls a message", ["case", "daemon", "all", "which"], rows

    def _multicast(self) -> Table:
        kinds = [kind for kind in MULTICASTS if any(kind in runs for runs in self.results.runs.values())]
        rows = [
            [case, *(figure(self.results.median(case, kind, "deliveries_per_s")) for kind in kinds)]
            for case, runs in self.results.runs.items()
            if case.startswith("fanout") and any(kind in runs for kind in kinds)
        ]
        return "Deliveries a second without a relay", ["case", *kinds], rows

    def _plots(self) -> list[tuple[str, str, str]]:
        groups = [
            ("ratios", f"How many times better than {self.baseline}", self.cases()),
            (
                "bystander",
                f"A bystander's p99, how many times better than {self.baseline}'s",
                self._bystanders(),
            ),
        ]
        plots = []
        for name, title, cases in groups:
            if name == "ratios":
                cases = [case for case in cases if not case.startswith("bystander")]
            chart = [bar for case in cases if (bar := self._bar(case))]
            if chart:
                plots.append((name, title, bars(title, self.names, chart)))
        return plots

    def _bar(self, case: str) -> Bar | None:
        metric, *_ = metrics(case) or (None,)
        if metric is None:
            return None
        values = {}
        for name in self.names:
            base = self.results.median(case, self.baseline, metric.key)
            ratios = [metric.ratio(value, base) for value in self.results.values(case, name, metric.key)]
            known = sorted(ratio for ratio in ratios if ratio)
            if known and (middle := self._ratio(case, name, metric)):
                values[name] = (known[0], middle, known[-1])
        return Bar(f"{case}, {metric.key}", values) if values else None


def row_of(cells: Sequence[str]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
