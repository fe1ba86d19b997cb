"""Configurations written and read in a directory of the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from omnibus.policy.error import ConfigError
from omnibus.policy.load import load
from omnibus.policy.settings import Settings

Write = Callable[..., Path]
Read = Callable[..., Settings]
Refuse = Callable[..., ConfigError]

REFERENCE = shutil.which("dbus-daemon")
LISTEN = "<listen>unix:path=/run/test/bus</listen>"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration: the lines are the content of <busconfig>, from line 3 of the file."""

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
    """Write a configuration, and return the error of reading it."""

    def begin(*lines: str, **options: str) -> ConfigError:
        path = write(*lines, **options)
        with pytest.raises(ConfigError) as caught:
            load(str(path))
        return caught.value

    return begin


class Reference:
    """Starts dbus-daemon with a configuration to see whether it is accepted."""

    def __init__(self, executable: str) -> None:
        self.executable = executable

    def __call__(self, path: Path) -> str | None:
        """Return dbus-daemon's error, or None if it accepts the file."""
        with subprocess.Popen(
            [
                self.executable,
                f"--config-file={path}",
                f"--address=unix:abstract=omnibus-{uuid.uuid4()}",
                "--print-address",
                "--nofork",
                "--nosyslog",
                "--nopidfile",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"},
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            if process.stdout.readline():
                process.kill()
                return None
            return process.stderr.read().decode().partition("Failed to start message bus: ")[2]


@pytest.fixture
def reference() -> Reference:
    """The reference daemon."""
    if REFERENCE is None:
        pytest.skip("dbus-daemon is not installed")
    return Reference(REFERENCE)
