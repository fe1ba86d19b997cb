"""What isn't imported before the address is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from omnibus.leaf import without_init

ROOT = Path(__file__).parents[2]
SLOW = {"asyncio", "logging", "uvloop"}
NOT_YET = {"dbus_fast", "asyncinotify", "pathlib", "pydantic_core._pydantic_core"}
REFERENCE = {"omnibus.policy.block", "omnibus.policy.evaluate"}


def imported_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


class TestBeforeTheAddress:
    def test_program(self) -> None:
        """The child that reads the configuration is forked first."""
        modules = imported_by("omnibus.daemon.cli")
        assert not modules & (SLOW | NOT_YET | {"socket", "omnibus.daemon.startup"})

    def test_service(self) -> None:
        """Listening needs no loop."""
        modules = imported_by("omnibus.daemon.startup")
        assert "omnibus.transport.listen" in modules
        assert not modules & (SLOW | NOT_YET)

    def test_serving(self) -> None:
        """What is slow and needed is imported then; what watches files and reads them, later if at all."""
        modules = imported_by("omnibus.daemon.serve")
        assert modules >= SLOW
        assert not modules & NOT_YET


class TestReferenceEvaluation:
    """There is one evaluation in the daemon, that in C; only the child that compiles the block has rules."""

    def test_not_imported(self) -> None:
        assert not imported_by("omnibus.daemon.serve, omnibus.daemon.configuration") & REFERENCE

    def test_not_imported_later(self) -> None:
        """Inside a function neither."""
        importing = re.compile(r"^\s*(from|import) .*policy\.(block|evaluate|rules)\b", re.MULTILINE)
        rooms = (ROOT / name for name in ("auth", "daemon", "systemd", "transport"))
        sources = [source for room in rooms for source in room.rglob("*.py")]
        assert len(sources) > 50
        assert [source for source in sources if importing.search(source.read_text())] == []


class TestWithoutInit:
    def test_package_is_not_run(self) -> None:
        modules = imported_by("omnibus.policy.model")
        assert "pydantic_core._pydantic_core" in modules
        assert not modules & {"pydantic_core", "pydantic_core.core_schema"}

    @pytest.mark.parametrize("name", ["omnibus_nosuch", "antigravity"])
    def test_no_package(self, name: str) -> None:
        with pytest.raises(ModuleNotFoundError, match=name), without_init(name):
            raise AssertionError("nothing can be imported")
