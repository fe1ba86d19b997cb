"""Configurations written and read in a test's own directory."""

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


class Reference:
    """Starts dbus-daemon on a configuration to see if it likes it."""

    def __init__(self, executable: str) -> None:
        self.executable = executable

    def __call__(self, path: Path) -> str | None:
        """Return what dbus-daemon has against the file, or None if it would run with it."""
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
    """The daemon whose opinion counts."""
    if REFERENCE is None:
        pytest.skip("dbus-daemon is not installed")
    return Reference(REFERENCE)
