"""Hypothesis strategies for the control plane's part of the state."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from omnibus.daemon.upgrade.control import Control
from omnibus.policy.settings import Settings
from omnibus.record import Record

# With surrogates: file names and variables that are not UTF-8.
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=8)
INTS = st.integers(0, 2**31 - 1) | st.sampled_from([0, 1, 2**31, 2**63, 2**64 - 1])
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: INTS,
    float: st.floats(-(2**40), 2**40, allow_nan=False),
    str: TEXTS,
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
}


@cache
def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a declared type, as records have them."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return st.none() | values(next(one for one in args if one is not NoneType))
    if origin is tuple and args[1:] == (...,):
        return st.lists(values(args[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, args))
    if origin is Mapping:
        return st.dictionaries(TEXTS, values(args[1]), max_size=3)
    if kind is Settings:
        return st.builds(Settings, pidfile=TEXTS, policy=st.binary(max_size=20))
    if kind in SCALARS:
        return SCALARS[kind]
    return records(kind)


def records(kind: type[Record]) -> st.SearchStrategy[Any]:
    """Return records whose fields have any values of their types."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{field: values(hints[field]) for field in kind.fields})


CONTROLS = records(Control)


@st.composite
def controls(draw: st.DrawFn) -> Control:
    """Return control planes whose references lead somewhere."""
    control: Control = draw(CONTROLS)
    pids = st.integers(1, 2**22)
    starts = {
        one.name: one.replace(child=None if one.child is None else draw(pids)) for one in control.starts
    }
    children = {one.child for one in starts.values() if one.child is not None}
    return control.replace(
        starts=tuple(starts.values()),
        children=tuple(sorted(children | draw(st.sets(pids, max_size=3)))),
    )
