"""Lines over a logarithmic or a linear axis, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from .plot import COLOURS

WIDTH, HEIGHT = 900, 320
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 64, 44  # room around the lines, in pixels
TICKS = 5

Points = Sequence[tuple[float, float]]


def lines(title: str, x_label: str, y_label: str, series: Mapping[str, Points], *, log_x: bool) -> str:
    """Draw one line for each name; the vertical axis begins at 0, or below it if a value does."""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    scale = math.log10 if log_x else float
    left, right = scale(min(xs)), scale(max(xs))
    low, high = min(0.0, *ys), max(0.0, *ys) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = (scale(x) - left) / (right - left) if right > left else 0.5
        up = (y - low) / (high - low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(16, 20, title, 'font-size="15"'),
        _text(16, TOP - 10, y_label, 'fill="#666"'),
        _text(WIDTH - RIGHT, HEIGHT - 8, x_label, 'text-anchor="end" fill="#666"'),
    ]
    for number in range(TICKS + 1):
        value = low + (high - low) * number / TICKS
        _, y = at(xs[0], value)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:.4g}", 'text-anchor="end" fill="#666"'))
    for x in sorted(set(xs)):
        across, _ = at(x, low)
        parts.append(_text(across, HEIGHT - BOTTOM + 16, f"{x:g}", 'text-anchor="middle" fill="#666"'))
    for place, (name, points) in enumerate(series.items()):
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in (at(x, y) for x, y in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += (
            f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{colour}"/>'
            for across, up in (at(x, y) for x, y in points)
        )
        legend = 16 + 130 * place
        parts.append(f'<rect x="{legend}" y="30" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(legend + 15, 39, name, ""))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
