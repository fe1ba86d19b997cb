"""The structure of the tree in numbers: `make structure` prints them, test_structure.py limits them.

    python -m structure.measure [ROOT BUILD]     in tests/, with .venv/bin/python

ROOT is another checkout, whose objects go to BUILD.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from structure import words
from structure.functions import Library, repeated, way_of_a_call
from structure.knots import largest_knot
from structure.lines import product_lines
from support.objects import CHECKOUT, RANKS, RELAY_TESTS, objects, upward


@dataclass(frozen=True)
class Measure:
    """A number, and the largest that is allowed; None: only printed."""

    name: str
    value: int
    limit: int | None = None


LIMITS = {
    "files that a method call passes": 18,
    "changes of file on its way": 60,
    "objects in the largest knot": 8,
    "upward references between layers": 0,
    "function names in more than one file": 0,
}
"""These numbers only fall. A change that lowers one lowers its limit."""


def structure(root: Path = CHECKOUT, build: Path = RELAY_TESTS / "build") -> list[Measure]:
    """Measure the data plane; takes its objects from `build`, compiling what has changed."""
    library = Library(root, build)
    way = way_of_a_call(library)
    all_objects = objects(root, build)
    layered = all(one.folder in RANKS for one in all_objects)
    values = {
        "functions that a method call passes": len(way.functions),
        "files that a method call passes": len(way.files),
        "changes of file on its way": way.changes,
        "objects": len(all_objects),
        "objects in the largest knot": len(largest_knot(all_objects)),
        **({"upward references between layers": len(upward(all_objects))} if layered else {}),
        "function names in more than one file": len(repeated(library.functions().values())),
    }
    return [Measure(name, value, LIMITS.get(name)) for name, value in values.items()]


def texts(root: Path = CHECKOUT) -> list[Measure]:
    """Count the lines of product code, and the personal words."""
    lines = product_lines(root)
    found = [Measure(f"lines of product code: {kind}", count) for kind, count in lines.items()]
    found.append(Measure("lines of product code", sum(lines.values())))
    for part, places in words.places(root).items():
        found.append(Measure(f"personal words: {part}", len(places), words.LIMITS[part]))
    return found


def main() -> None:
    """Print a table."""
    where = [Path(one).resolve() for one in sys.argv[1:3]]
    for one in structure(*where) + texts(*where[:1]):
        print(f"{one.name:40}{one.value:7,}" + ("" if one.limit is None else f"   at most {one.limit:,}"))


if __name__ == "__main__":
    main()
