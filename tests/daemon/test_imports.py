"""What is imported before the address is printed, and in which process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = {"omnibus.policy.block", "omnibus.policy.evaluate"}
SLOW = {"asyncio", "inspect", "logging", "traceback", "uvloop"}
NOT_YET = {"asyncinotify", "pathlib"}
# What only the child that reads the configuration needs, and what the bus doesn't need at all.
ELSEWHERE = {"pyexpat", "omnibus.policy.attributes", "pydantic_core", "dbus_fast"}


def imported_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


class TestBeforeTheAddress:
    def test_program(self) -> None:
        """The child that reads the configuration is forked first."""
        modules = imported_by("omnibus.daemon.cli")
        assert not modules & (SLOW | NOT_YET | ELSEWHERE | {"socket", "omnibus.daemon.startup"})

    def test_service(self) -> None:
        """Neither listening nor the data plane needs an event loop: clients are served during its import."""
        modules = imported_by("omnibus.daemon.startup")
        assert {"omnibus.transport.listen", "omnibus.transport.relay"} <= modules
        assert not modules & (SLOW | NOT_YET | ELSEWHERE)

    def test_serving(self) -> None:
        """Slow modules that serving needs are imported then; those of the file watch later, if at all."""
        modules = imported_by("omnibus.daemon.serve")
        assert modules >= SLOW
        assert not modules & (NOT_YET | ELSEWHERE)


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


class TestReading:
    def test_reader(self) -> None:
        """The child needs no more than expat, which is waited for by the first client."""
        modules = imported_by("omnibus.policy.reader, omnibus.policy.omnibus_conf")
        assert "pyexpat" in modules
        assert not modules & {"inspect", "pydantic_core", "dbus_fast", "omnibus.transport.relay", *SLOW}

    def test_only_public_modules(self) -> None:
        """No module of ours names a private one of a dependency."""
        private = r"(dbus_fast|uvloop|asyncinotify)\._"
        command = ["git", "grep", "-nE", private, "--", "*.py", ":!tests"]
        assert subprocess.run(command, capture_output=True, text=True).stdout == ""
