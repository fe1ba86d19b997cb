"""The text formats of metrics: OpenMetrics, and the older one of Prometheus for the textfile collector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .record import Record

CONTENT_OF: Final = ("openmetrics", "prometheus")


class Family(Record):
    """A metric: its name without _total, its type, a help text, and its samples by labels besides ``bus``."""

    name: str
    type: str
    help: str
    samples: tuple[tuple[dict[str, str], float], ...]


def text_of(found: Iterable[Family], bus: str, form: str) -> str:
    """Return the text in one of the two formats.

    They differ in the name of a counter in TYPE and HELP, without which the textfile collector takes it for
    untyped, and in the end.
    """
    lines = []
    for family in found:
        suffix = "_total" if family.type == "counter" else ""
        head = family.name + (suffix if form == "prometheus" else "")
        lines += [f"# TYPE {head} {family.type}", f"# HELP {head} {family.help}"]
        for labels, value in family.samples:
            pairs = ",".join(f'{key}="{_escape(one)}"' for key, one in {"bus": bus, **labels}.items())
            lines.append(f"{family.name}{suffix}{{{pairs}}} {_number(value)}")
    if form == "openmetrics":
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
