"""Signatures and names (specification: "Valid Names", "Summary of types")."""

import re
from functools import lru_cache
from typing import Final

MAX_NAME: Final = 255

# Compiled by the module re when they are used first, as everywhere: some never are.
_ELEMENT = r"[A-Za-z_-][A-Za-z0-9_-]*"
_WELL_KNOWN: Final = rf"{_ELEMENT}(\.{_ELEMENT})+"
_ERROR: Final = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+"
_UNIQUE: Final = r":[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"


def is_bus_name(name: str) -> bool:
    """Return True if ``name`` is a valid bus name, unique or well-known."""
    if len(name) > MAX_NAME:
        return False
    pattern = _UNIQUE if name.startswith(":") else _WELL_KNOWN
    return re.fullmatch(pattern, name) is not None


def is_error_name(name: str) -> bool:
    """Return True if ``name`` is a valid name of an error or an interface."""
    return len(name) <= MAX_NAME and re.fullmatch(_ERROR, name) is not None


@lru_cache(256)
def complete_types(signature: str) -> tuple[str, ...]:
    """Cut a signature into its single complete types: "a{sv}u" → ("a{sv}", "u").

    Raises ValueError for one that ends within a type; otherwise it is assumed to be valid.
    """
    types = []
    start = depth = 0
    for end, token in enumerate(signature, 1):
        depth += (token in "({") - (token in ")}")
        if depth == 0 and token != "a":
            types.append(signature[start:end])
            start = end
    if start != len(signature):
        raise ValueError(f"the signature {signature!r} ends early")
    return tuple(types)
