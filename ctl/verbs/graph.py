"""Which connections talk to which: messages of a time, counted between processes.

omnibusctl graph -t 5                     a table
omnibusctl graph -t 5 --svg >bus.svg      a picture, where Graphviz is installed; --dot: its language
omnibusctl graph -t 5 --mermaid           for a page in Markdown
omnibusctl graph --read bus.pcapng --dot  of a capture
"""

from __future__ import annotations

import subprocess
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..exits import NO, YES, Stop
from ..filter import Filter, add_arguments
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
    edges = graph.edges(options.min)
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

    def edges(self, least: int) -> list[tuple[Edge, int]]:
        """Return the edges with at least so many messages, the most first."""
        names: dict[str, str] = {}
        for name, owner in sorted(self._source.ledger.owners.items()):
            names.setdefault(owner, name)

        def label(unique: str) -> str:
            if unique == ALL:
                return ALL
            unit = self._source.unit(unique)
            return self._source.text(names.get(unique, unique), unique) + (f" {unit}" if unit else "")

        merged: Counter[Edge] = Counter()
        for (a, b, kind), n in self._counts.items():
            merged[label(a), label(b), kind] += n
        found = [(edge, n) for edge, n in merged.items() if n >= least]
        return sorted(found, key=lambda one: (-one[1], one[0]))


def dot(edges: list[tuple[Edge, int]]) -> str:
    """Return a digraph: boxes, with thicker lines for more messages."""
    lines = ["digraph bus {", "  rankdir=LR; node [shape=box, style=rounded, fontname=sans, fontsize=10];"]
    lines.append("  edge [fontname=sans, fontsize=9];")
    most = max((n for _, n in edges), default=1)
    for (a, b, kind), n in edges:
        color = {"errors": "red", "signals": "gray50"}.get(kind, "black")
        width = 1 + 4 * n / most
        label = f'label="{n} {kind}", color={color}, penwidth={width:.1f}'
        lines.append(f"  {_quoted(a)} -> {_quoted(b)} [{label}];")
    return "\n".join([*lines, "}"])


def svg(edges: list[tuple[Edge, int]]) -> str:
    """Return the picture; raises Stop without Graphviz."""
    try:
        done = subprocess.run(["dot", "-Tsvg"], input=dot(edges), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Stop(NO, f"Graphviz can't draw it (--dot prints its language): {error}") from error
    return done.stdout


def _quoted(text: str) -> str:
    safe = escape(text).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + safe.replace(" ", "\\n") + '"'


def mermaid(edges: list[tuple[Edge, int]]) -> str:
    """Return a flowchart."""
    ids: dict[str, str] = {}
    lines = ["flowchart LR"]
    for (a, b, kind), n in edges:
        for name in (a, b):
            if name not in ids:
                ids[name] = f"n{len(ids)}"
                label = escape(name).replace('"', "#quot;")
                lines.append(f'  {ids[name]}["{label}"]')
        lines.append(f'  {ids[a]} -->|"{n} {kind}"| {ids[b]}')
    return "\n".join(lines)
