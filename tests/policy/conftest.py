"""Configurations written and read in a test's own directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from omnibus.policy.error import ConfigError
from omnibus.policy.load import load
from omnibus.policy.settings import Settings

Write = Callable[..., Path]
Read = Callable[..., Settings]
Refuse = Callable[..., ConfigError]

LISTEN = "<listen>unix:path=/run/test/bus</listen>"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration: the lines stand in <busconfig>, the first of them in line 3 of the file."""

    def begin(*lines: str, name: str = "bus.conf", listen: str = LISTEN) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["<busconfig>", listen, *lines, "</busconfig>", ""]))
        return path

    return begin


@pytest.fixture
def read(write: Write) -> Read:
    """Write a configuration and read it."""

    def begin(*lines: str, **options: str) -> Settings:
        return load(str(write(*lines, **options)))

    return begin


@pytest.fixture
def refuse(write: Write) -> Refuse:
    """Write a configuration, and return the error that it is refused with."""

    def begin(*lines: str, **options: str) -> ConfigError:
        path = write(*lines, **options)
        with pytest.raises(ConfigError) as caught:
            load(str(path))
        return caught.value

    return begin
