"""The relay's own parser, one process for a whole module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from .relay_reading import Relay


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    if not (shutil.which("clang") and shutil.which("make")):
        pytest.skip("clang and make are needed to build the relay's parser")
    relay = Relay()
    yield relay
    relay.close()
