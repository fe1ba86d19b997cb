"""Bars with whiskers on a logarithmic axis, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#8a8f98", "#d98c3f", "#2f6fb2", "#5a9e5a", "#a05ab0")
LEFT, RIGHT, TOP = 300, 70, 64  # room around the bars, in pixels
WIDTH = 900
BAR = 11
GAP = 12


@dataclass(frozen=True)
class Bar:
    """One case: for each name the least, the median and the greatest value."""

    label: str
    values: dict[str, tuple[float, float, float]]


class Axis:
    """Maps ratios to pixels."""

    def __init__(self, values: Sequence[float]) -> None:
        self.low = math.floor(math.log2(min(*values, 0.5)))
        self.high = math.ceil(math.log2(max(*values, 2.0)))

    def x(self, value: float) -> float:
        """Return the position of a value."""
        part = (math.log2(max(value, 2.0**self.low)) - self.low) / (self.high - self.low)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        """Return the powers of two on it."""
        return [2.0**power for power in range(self.low, self.high + 1)]


def bars(title: str, names: Sequence[str], cases: Sequence[Bar]) -> str:
    """Draw the ratios of all cases, with a thick line at 1, the baseline."""
    axis = Axis([value for case in cases for triple in case.values.values() for value in triple])
    step = BAR * len(names) + GAP
    bottom = TOP + step * len(cases)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 16}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(16, 20, title, 'font-size="15"'),
        *_legend(names),
    ]
    for tick in axis.ticks():
        x = axis.x(tick)
        colour, width = ("#444", 1.5) if tick == 1 else ("#ddd", 1)
        parts.append(_line(x, TOP - 4, x, bottom, colour, width))
        label = f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}"
        parts.append(_text(x, TOP - 8, label, 'text-anchor="middle" fill="#666"'))
    for row, case in enumerate(cases):
        parts += _case(axis, names, case, TOP + row * step + GAP / 2)
    return "\n".join([*parts, "</svg>", ""])


def _case(axis: Axis, names: Sequence[str], case: Bar, top: float) -> list[str]:
    parts = [_text(LEFT - 10, top + BAR * len(names) / 2 + 4, case.label, 'text-anchor="end"')]
    for place, name in enumerate(names):
        if name not in case.values:
            continue
        least, middle, greatest = case.values[name]
        y = top + place * BAR
        start, end = sorted((axis.x(1), axis.x(middle)))
        colour = COLOURS[place % len(COLOURS)]
        parts.append(
            f'<rect x="{start:.1f}" y="{y + 1:.1f}" width="{max(1, end - start):.1f}" height="{BAR - 2}" '
            f'fill="{colour}"/>'
        )
        centre = y + BAR / 2
        parts.append(_line(axis.x(least), centre, axis.x(greatest), centre, "black", 1))
        right = max(axis.x(greatest), axis.x(1)) + 4
        parts.append(_text(right, y + BAR - 2, f"{middle:.2f}", 'font-size="9"'))
    return parts


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for place, name in enumerate(names):
        x = 16 + 130 * place
        parts.append(f'<rect x="{x}" y="30" width="10" height="10" fill="{COLOURS[place % len(COLOURS)]}"/>')
        parts.append(_text(x + 15, 39, name))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
