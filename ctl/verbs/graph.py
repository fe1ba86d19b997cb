"""Which connections talk to which: messages of a time, counted between processes.

omnibusctl graph -t 5                     a table
omnibusctl graph -t 5 --svg >bus.svg      a picture, where Graphviz is installed; --dot: its language
omnibusctl graph -t 5 --mermaid           for a page in Markdown
omnibusctl graph --read bus.pcapng --dot  of a capture

Pictures leave out the bus itself, which every connection calls. Errors stand beside the calls that they
answer, and in the box of a connection how many signals it has sent without a destination.
"""

from __future__ import annotations

import subprocess
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..exits import NO, YES, Stop
from ..filter import BUS_NAME, Filter, add_arguments
from ..message import Seen
from ..output import escape
from ..watch import Watch
from .capture import Reading

if TYPE_CHECKING:
    from ..buses import Target

Edge = tuple[str, str, str]
"""From, to and the kind of messages: "calls", "errors" or "signals". Replies belong to their calls."""
KINDS: Final = {"call": "calls", "error": "errors", "signal": "signals"}
ALL: Final = "*"


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-t", "--time", type=float, default=3.0, metavar="SECONDS", help="how long to listen")
    parser.add_argument("--read", metavar="FILE", help="a capture instead of the bus")
    parser.add_argument("--min", type=int, default=1, metavar="N", help="leave out what was fewer")
    parser.add_argument("--no-processes", action="store_true", help="names alone, which stay the same")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--dot", action="store_true", help="print Graphviz's language")
    form.add_argument("--svg", action="store_true", help="print a picture, drawn by Graphviz")
    form.add_argument("--mermaid", action="store_true", help="print Mermaid's")
    add_arguments(parser)


def run(target: Target, options: Namespace) -> int:
    """Print the graph; return YES."""
    wanted = Filter.of(options)
    if options.read:
        reading = Reading(options.read, wanted)
        graph = Graph(reading, reading)
    else:
        watch = Watch(target, wanted)
        graph = Graph(watch.listen(options.time), watch)
        watch.close()
    edges = graph.edges(options.min, with_process=not options.no_processes)
    output = target.output
    if output.as_json:
        output.json([{"from": a, "to": b, "kind": kind, "messages": n} for (a, b, kind), n in edges])
    elif options.dot:
        output.line(dot(edges))
    elif options.svg:
        output.text(svg(edges))
    elif options.mermaid:
        output.line(mermaid(edges))
    else:
        output.table((">MESSAGES", "KIND", "FROM", "TO"), ((n, kind, a, b) for (a, b, kind), n in edges))
    return YES


class Graph:
    """Counted messages; connections are named when all have been seen, so that late names count."""

    def __init__(self, messages: Iterable[Seen], source: Watch | Reading) -> None:
        self._counts: Counter[Edge] = Counter()
        self._source = source
        for seen in messages:
            kind = KINDS.get(seen.type)
            if kind is not None:
                self._counts[seen.parties[0], seen.parties[1] or ALL, kind] += 1

    def edges(self, least: int, *, with_process: bool = True) -> list[tuple[Edge, int]]:
        """Return the edges with at least so many messages, the most first."""
        names = self._source.ledger.names

        def label(unique: str) -> str:
            name = names.get(unique, unique)
            if unique == ALL or not with_process:
                return name
            if name == unique and (command := self._source.ended(unique)):
                return command  # short-lived programs would be as many boxes as there were starts of them
            unit = self._source.unit(unique)
            return self._source.text(name, unique) + (f" {unit}" if unit else "")

        merged: Counter[Edge] = Counter()
        for (a, b, kind), n in self._counts.items():
            merged[label(a), label(b), kind] += n
        found = [(edge, n) for edge, n in merged.items() if n >= least]
        return sorted(found, key=lambda one: (-one[1], one[0]))


class Picture:
    """What is drawn of edges: boxes, each with its number of broadcasts, and arrows."""

    def __init__(self, edges: list[tuple[Edge, int]]) -> None:
        self.boxes: dict[str, int] = {}
        self.arrows: list[tuple[str, str, str, int]] = []
        """From, to, a text, and the number of messages that the line stands for."""
        shown = [(edge, n) for edge, n in edges if BUS_NAME not in edge]
        errors = {(a, b): n for (a, b, kind), n in shown if kind == "errors"}
        called = {(a, b) for (a, b, kind), _ in shown if kind == "calls"}
        for (a, b, kind), n in shown:
            if b == ALL:
                self.boxes[a] = self.boxes.get(a, 0) + n
                continue
            if kind == "errors" and (b, a) in called:
                continue
            for one in (a, b):
                self.boxes.setdefault(one, 0)
            failed = errors.get((b, a), 0) if kind == "calls" else 0
            text = _counted(n, kind) + (f", {_counted(failed, 'errors')}" if failed else "")
            self.arrows.append((a, b, text, n))

    def lines(self, box: str) -> list[str]:
        """Return the lines in a box: the words of its label, and its signals."""
        signals = self.boxes[box]
        return [*escape(box).split(" "), *([_counted(signals, "signals")] if signals else [])]


def _counted(n: int, kind: str) -> str:
    return f"{n} {kind if n != 1 else kind.removesuffix('s')}"


def dot(edges: list[tuple[Edge, int]]) -> str:
    """Return a digraph: boxes, with thicker lines for more messages."""
    picture = Picture(edges)
    lines = ["digraph bus {", "  rankdir=LR; node [shape=box, style=rounded, fontname=sans, fontsize=10];"]
    lines.append("  edge [fontname=sans, fontsize=9];")
    numbers = {box: number for number, box in enumerate(picture.boxes)}
    for box, number in numbers.items():
        lines.append(f"  n{number} [label={_quoted(picture.lines(box))}];")
    most = max((n for *_, n in picture.arrows), default=1)
    for a, b, text, n in picture.arrows:
        colour = "red" if "error" in text else "gray50" if "signal" in text else "black"
        label = f'label="{text}", color={colour}, penwidth={1 + 4 * n / most:.1f}'
        lines.append(f"  n{numbers[a]} -> n{numbers[b]} [{label}];")
    return "\n".join([*lines, "}"])


def svg(edges: list[tuple[Edge, int]]) -> str:
    """Return the picture; raises Stop without Graphviz."""
    try:
        done = subprocess.run(["dot", "-Tsvg"], input=dot(edges), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Stop(NO, f"Graphviz can't draw it (--dot prints its language): {error}") from error
    return done.stdout


def _quoted(lines: list[str]) -> str:
    safe = (one.replace("\\", "\\\\").replace('"', '\\"') for one in lines)
    return '"' + "\\n".join(safe) + '"'


def mermaid(edges: list[tuple[Edge, int]]) -> str:
    """Return a flowchart."""
    picture = Picture(edges)
    lines = ["flowchart LR"]
    numbers = {box: number for number, box in enumerate(picture.boxes)}
    for box, number in numbers.items():
        label = "<br>".join(
            one.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;")
            for one in picture.lines(box)
        )
        lines.append(f'  n{number}["{label}"]')
    for a, b, text, _ in picture.arrows:
        lines.append(f'  n{numbers[a]} -->|"{text}"| n{numbers[b]}')
    return "\n".join(lines)
