"""Modules of a package without the package's own ``__init__``, where that imports far more than is needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType


@contextmanager
def without_init(package: str) -> Iterator[None]:
    """Within this, importing a module of the package doesn't run its ``__init__``; later it may still be run.

    Raises ModuleNotFoundError.
    """
    if package in sys.modules:
        yield
        return
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No package named {package!r}", name=package)
    bare = ModuleType(package)
    bare.__path__ = spec.submodule_search_locations
    sys.modules[package] = bare
    try:
        yield
    finally:
        del sys.modules[package]
