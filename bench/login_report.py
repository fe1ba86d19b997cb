"""Tables of replayed log-ins."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from .daemons import BROKER, OURS
from .planner import STARTS
from .replay import LogIn, Result

STARTING, RUNNING = "starting", "running"
"""Services are started as recorded, or those that stay are there before."""
REFERENCE: Final = "dbus-daemon"
LEAST_CALLS: Final = 30  # of a method, for its quantiles
QUANTILES: Final = (50, 90, 99)
MOST_OF_REFERENCE, MOST_OF_BROKER, MOST_OF_P90 = 0.7, 1.0, 1.1
"""What omnibus may need: CPU time as multiples of the other's, and the worst method's p90."""
WIDTH: Final = 120  # of a line of documentation
MARKS: Final = re.compile(r"(<!-- log-ins: (\w+) -->\n).*?(<!-- log-ins: end -->)", re.DOTALL)

Key = tuple[str, str]  # name of the trace, mode


def replace(text: str, report: LogInReport) -> str:
    """Put the report's tables between the marks ``<!-- log-ins: KIND -->`` and ``<!-- log-ins: end -->``."""
    kinds: dict[str, Callable[[], list[str]]] = {
        "full": report.full,
        "summary": lambda: [*report.dated(), *report.summary()],
        "costs": lambda: [*report.dated(), *report.costs(), "", *report.requirements()],
    }
    if not MARKS.search(text):
        text += "\n<!-- log-ins: full -->\n<!-- log-ins: end -->\n"
    return MARKS.sub(lambda found: found[1] + "\n".join(["", *kinds[found[2]](), "", found[3]]), text)


def quantile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown; all columns but the first hold numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def shown(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits, at most."""
    if value is None:
        return "-"
    if value >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


class LogInReport:
    """The results of all replays."""

    def __init__(self, names: Sequence[str], logins: Mapping[Key, LogIn]) -> None:
        self.names = list(names)
        self.logins = logins
        self.results: dict[tuple[Key, str], list[Result]] = {}
        self.failures: list[str] = []
        self.facts: list[str] = []

    def add(self, key: Key, name: str, result: Result) -> None:
        """Keep the result of one replay; one that differs from the record is a failure."""
        if result["ok"]:
            self.results.setdefault((key, name), []).append(result)
        else:
            self.fail(key, name, "; ".join(result["remarks"]))

    def fail(self, key: Key, name: str, text: str) -> None:
        """Note a replay that did not end as recorded."""
        self.failures.append(f"{' '.join(key)} with {name}: {text}")

    def value(self, key: Key, name: str, figure: str) -> float | None:
        """Return the median of a figure."""
        values = [result[figure] for result in self.results.get((key, name), [])]
        return median(values) if values else None

    def methods(self, key: Key) -> dict[str, int]:
        """Return the kinds of calls of which there are enough, and how many there are."""
        counts: dict[str, int] = {}
        for op in self.logins[key].plan.ops:
            if op.group and op.reply >= 0 and not op.start:
                counts[op.group] = counts.get(op.group, 0) + 1
        return {group: n for group, n in sorted(counts.items()) if n >= LEAST_CALLS}

    def time(self, key: Key, name: str, group: str, percent: int) -> float | None:
        """Return the median over the runs of a quantile of calls, in microseconds."""
        runs = [
            quantile([us for found, us in result["times_us"] if found == group], percent)
            for result in self.results.get((key, name), [])
        ]
        return median(runs) if runs else None

    def ratio(self, key: Key, other: str, figure: str) -> float | None:
        """Return a figure of ours as a multiple of another's."""
        own, theirs = self.value(key, OURS, figure), self.value(key, other, figure)
        return own / theirs if own is not None and theirs else None

    def worst_p90(self, key: Key) -> tuple[float | None, str]:
        """Return the greatest multiple of the reference's p90, and the calls that have it."""
        found = []
        for group in self.methods(key):
            own, theirs = self.time(key, OURS, group, 90), self.time(key, REFERENCE, group, 90)
            if own is not None and theirs and group != STARTS:
                found.append((own / theirs, group))
        return max(found) if found else (None, "")

    # Tables

    def full(self) -> list[str]:
        """Return the whole section."""
        lines = ["## Recorded log-ins", "", *(f"- {fact}" for fact in self.facts), ""]
        lines += [*self.costs(), "", "### Times of calls", "", *self.times(), "", "### Requirements", ""]
        lines += self.requirements()
        if self.failures:
            lines += ["", "### Differences from the record", "", *(f"- {text}" for text in self.failures)]
        return lines

    def dated(self) -> list[str]:
        """Return a paragraph that says when and where this was measured."""
        return [*textwrap.wrap(f"Measured: {'; '.join(self.facts)}.", WIDTH), ""]

    def traces(self) -> list[str]:
        """Return the names of the traces."""
        return list(dict.fromkeys(name for name, _ in self.logins))

    def costs(self) -> list[str]:
        """Return CPU time, duration and wake-ups of each bus in each log-in."""
        head = [
            "log-in, services",
            "bus",
            "messages",
            "CPU, ms",
            "with its start",
            "last reply, ms",
            "wake-ups",
        ]
        rows = []
        for key in self.logins:
            for name in self.names:
                cpu, total = self.value(key, name, "cpu"), self.value(key, name, "cpu_with_start")
                seconds = self.value(key, name, "seconds")
                milliseconds = [shown(1e3 * v if v is not None else None) for v in (cpu, total, seconds)]
                sent, wakeups = self.value(key, name, "sent"), self.value(key, name, "wakeups")
                rows.append([" ".join(key), name, shown(sent, 4), *milliseconds, shown(wakeups)])
        return table(head, rows)

    def times(self) -> list[str]:
        """Return p50, p90 and p99 of calls, by method, in microseconds."""
        head = [
            "log-in",
            "calls",
            "times",
            *(f"{name}, p50 / p90 / p99 µs" for name in self.names),
            "p90 ratio",
        ]
        rows = []
        for key in self.logins:
            if key[1] == RUNNING:
                continue
            for group, n in self.methods(key).items():
                cells = [
                    " / ".join(shown(self.time(key, name, group, q)) for q in QUANTILES)
                    for name in self.names
                ]
                own, theirs = self.time(key, OURS, group, 90), self.time(key, REFERENCE, group, 90)
                ratio = shown(own / theirs if own is not None and theirs else None)
                rows.append([key[0], group, str(n), *cells, ratio])
        return table(head, rows)

    def requirements(self) -> list[str]:
        """Return what omnibus needs as multiples of the others, and what it may need."""
        head = [
            "log-in",
            f"CPU to {REFERENCE}'s, at most {MOST_OF_REFERENCE}",
            f"CPU to {BROKER}'s, services running, at most {MOST_OF_BROKER}",
            f"worst p90 to {REFERENCE}'s, at most {MOST_OF_P90}",
            "of",
        ]
        rows = []
        for name in self.traces():
            starting, running = (name, STARTING), (name, RUNNING)
            worst, method = self.worst_p90(starting)
            judged = [
                judge(self.ratio(starting, REFERENCE, "cpu"), MOST_OF_REFERENCE),
                judge(self.ratio(running, BROKER, "cpu"), MOST_OF_BROKER),
                judge(worst, MOST_OF_P90),
            ]
            rows.append([name, *judged, method])
        return table(head, rows)

    def summary(self) -> list[str]:
        """Return how many times better omnibus is, by desktop and bus."""
        head = ["log-in", f"CPU against {REFERENCE}", f"against {BROKER}", "last reply against each"]
        rows = []
        for name in self.traces():
            key = (name, STARTING)
            desktop, _, bus = name.partition("-")
            cells = [times_better(self.ratio(key, other, "cpu")) for other in (REFERENCE, BROKER)]
            waits = [times_better(self.ratio(key, other, "seconds")) for other in (REFERENCE, BROKER)]
            rows.append([f"{desktop}, {bus.rpartition('-')[2]} bus", *cells, " / ".join(waits)])
        return table(head, rows)

    def figures(self) -> dict[str, Any]:
        """Return everything, for a program."""
        return {
            "facts": self.facts,
            "failures": self.failures,
            "plans": [
                {
                    "trace": key[0],
                    "services": key[1],
                    "omitted": login.plan.omitted,
                    "broadcasts": login.plan.broadcasts,
                    "with_recorded_receivers": login.plan.as_recorded,
                    "undecided": login.plan.undecided,
                }
                for key, login in self.logins.items()
            ],
            "runs": [
                {"trace": key[0], "services": key[1], "bus": name, "runs": runs}
                for (key, name), runs in self.results.items()
            ],
        }


def judge(ratio: float | None, most: float) -> str:
    """Return a ratio, in bold if it is too great."""
    if ratio is None:
        return "-"
    return f"**{ratio:.2f}**" if ratio > most else f"{ratio:.2f}"


def times_better(ratio: float | None) -> str:
    """Return the inverse of a ratio, as the tables of README have it."""
    return "-" if not ratio else f"{1 / ratio:.2g}x"
