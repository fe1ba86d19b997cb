"""What isn't imported before the address is printed."""

from __future__ import annotations

import subprocess
import sys

SLOW = {"asyncinotify", "asyncio", "dbus_fast", "logging", "pathlib", "pydantic_core", "uvloop"}


def imported_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


class TestBeforeTheAddress:
    def test_program(self) -> None:
        """The child that reads the configuration is forked first."""
        modules = imported_by("omnibus.daemon.program")
        assert not modules & (SLOW | {"socket", "omnibus.daemon.service"})

    def test_service(self) -> None:
        """Listening needs no loop."""
        modules = imported_by("omnibus.daemon.service")
        assert "omnibus.transport.listen" in modules
        assert not modules & SLOW

    def test_serving(self) -> None:
        """What those tests name is what serving needs, but for what reads the configuration."""
        assert imported_by("omnibus.daemon.serving") >= SLOW - {"pydantic_core"}
