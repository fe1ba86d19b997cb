"""The largest set of objects in which each one reaches every other, by the symbols that they use."""

from __future__ import annotations

from collections.abc import Iterable

from support.objects import Object, references


def largest_knot(objects: Iterable[Object]) -> list[str]:
    """Return the sources of the largest strongly connected component of the references."""
    users: dict[str, set[str]] = {}
    used: dict[str, set[str]] = {}
    for one in references(objects):
        used.setdefault(one.user.source, set()).add(one.definer.source)
        users.setdefault(one.definer.source, set()).add(one.user.source)
    knots = [reached(source, used) & reached(source, users) for source in used]
    return sorted(max(knots, key=len, default=set()))


def reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    """Return all nodes that can be reached, the first one included."""
    found, waiting = {start}, [start]
    while waiting:
        new = edges.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found
