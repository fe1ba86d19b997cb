"""The relay's own reading of messages, for a whole module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from .relay_says import Relay


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    if not (shutil.which("clang") and shutil.which("make")):
        pytest.skip("clang and make build what asks the relay")
    relay = Relay()
    yield relay
    relay.close()
