"""What is imported before the address is printed, and what at all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds; valgrind takes its time, and the machine may be loaded
REFERENCE = {"omnibus.policy.block", "omnibus.policy.evaluate"}
SLOW = {"asyncio", "logging", "traceback"}
# What asyncio imports, and what else the bus has no use for.
NEVER = {"ssl", "_ssl", "inspect", "ast", "dis", "locale", "json", "pathlib", "ctypes", "dataclasses"}
# What asyncio imports for exceptions.
TRACEBACK = {"linecache", "textwrap", "tokenize"}
if sys.version_info >= (3, 14):
    NEVER -= {"inspect", "ast", "dis", "dataclasses"}  # asyncio has a dataclass
# What only the reading of the configuration needs, and what the bus doesn't need at all.
OTHERS = {"pydantic_core", "dbus_fast", "uvloop", "asyncinotify"}
ELSEWHERE = {"pyexpat", "omnibus.policy.attributes", *OTHERS}

needs_valgrind = pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind counts the instructions")


def imported_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def instructions(log: Path) -> int:
    """Return the number that lackey has counted."""
    found = re.search(r"guest instrs:\s+([\d,]+)", log.read_text())
    assert found
    return int(found[1].replace(",", ""))


class TestBeforeTheAddress:
    def test_program(self) -> None:
        """A command line that only asks for something is answered quickly."""
        modules = imported_by("omnibus.daemon.cli")
        assert not modules & (SLOW | NEVER | ELSEWHERE | {"socket", "omnibus.daemon.startup"})

    def test_service(self) -> None:
        """Neither listening nor the data plane needs an event loop: clients are served during its import."""
        modules = imported_by("omnibus.daemon.startup")
        assert {"omnibus.transport.listen", "omnibus.transport.relay"} <= modules
        assert not modules & (SLOW | NEVER | ELSEWHERE)

    def test_serving(self) -> None:
        """Slow modules that serving needs are imported then."""
        modules = imported_by("omnibus.daemon.serve")
        assert modules >= SLOW
        assert not modules & ELSEWHERE


class TestWholeStart:
    """From the command to the loop, and to the end by a signal, which waits for the loop."""

    def run(self, *interpreter: str) -> subprocess.CompletedProcess[str]:
        address = f"--address=unix:abstract=omnibus-imports-{os.getpid()}"
        options = ["--session", "--nofork", "--nopidfile", "--print-address", address]
        command = [*interpreter, "-I", "-m", "omnibus.daemon.main", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bus:
            assert bus.stdout is not None
            assert bus.stdout.readline(), "the bus does not start"
            bus.terminate()
            _, log = bus.communicate(timeout=PATIENCE)
        assert bus.returncode == 0, log
        return subprocess.CompletedProcess(str(bus.pid), bus.returncode, stderr=log)

    def test_modules(self) -> None:
        log = self.run(sys.executable, "-X", "importtime").stderr
        lines = [line for line in log.splitlines() if line.startswith("import time:")]
        imported = {line.rpartition("|")[2].strip() for line in lines}
        assert {"omnibus.policy.reader", "omnibus.daemon.serve", "omnibus.daemon.watch"} <= imported
        # The attempt to import ssl counts.
        assert imported & (NEVER - {"ssl"} | OTHERS | TRACEBACK) == set()
        assert len(imported) < (250 if sys.version_info < (3, 14) else 260)

    @needs_valgrind
    def test_instructions(self, tmp_path: Path) -> None:
        """Everything together takes hardly more than the import of asyncio, as it is, would take alone."""
        count = ("valgrind", "--tool=lackey", "--basic-counts=yes", f"--log-file={tmp_path}/%p")
        bus = self.run(*count, sys.executable)
        alone = subprocess.Popen([*count, sys.executable, "-I", "-c", "import asyncio"])
        assert alone.wait() == 0
        ours, floor = (instructions(tmp_path / str(pid)) for pid in (bus.args, alone.pid))
        assert ours < 1.1 * floor, f"{ours / floor:.2f} times the import of asyncio"


class TestDeferred:
    """A module that asyncio imports is imported when it is used."""

    def test_use(self) -> None:
        code = (
            "import sys; from omnibus.daemon.deferred import Deferred, spare; spare();"
            " import asyncio, locale; assert type(locale) is Deferred;"
            " from subprocess import getoutput; assert getoutput('echo') == '';"
            " assert locale.getlocale(); import locale as real; assert type(real) is not Deferred"
        )
        subprocess.run([sys.executable, "-I", "-c", code], check=True)

    def test_traceback(self) -> None:
        """It is imported for the first exception that is to be described."""
        code = (
            "import sys; from omnibus.daemon.deferred import Deferred, spare; spare();"
            " import asyncio; assert type(sys.modules['traceback']) is Deferred;"
            " from traceback import format_exception;"
            " assert format_exception(OSError('x')) == ['OSError: x\\n'];"
            " import traceback; assert type(traceback) is not Deferred"
        )
        subprocess.run([sys.executable, "-I", "-c", code], check=True)

    def test_debug_mode(self) -> None:
        """asyncio keeps where a future was made, by the function that it has fetched before."""
        code = (
            "from omnibus.daemon.deferred import spare; spare();"
            " import asyncio; loop = asyncio.SelectorEventLoop(); loop.set_debug(True);"
            " assert loop.create_future()._source_traceback; loop.close()"
        )
        subprocess.run([sys.executable, "-I", "-c", code], check=True)

    def test_no_ssl(self) -> None:
        """Nothing can import it, so asyncio does as where Python is built without OpenSSL."""
        code = (
            "from omnibus.daemon.deferred import spare; spare();"
            " import asyncio.base_events, sys; assert asyncio.base_events.ssl is None;"
            " from omnibus.daemon.deferred import Deferred;"
            " assert type(sys.modules['asyncio.sslproto']) is Deferred"
        )
        subprocess.run([sys.executable, "-I", "-c", code], check=True)


class TestReferenceEvaluation:
    """There is one evaluation in the daemon, that in C; only what compiles the block has rules."""

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
        """Reading needs no more than expat, as the first client waits for it."""
        modules = imported_by("omnibus.policy.reader, omnibus.policy.omnibus_conf")
        assert "pyexpat" in modules
        assert not modules & {"inspect", "pydantic_core", "dbus_fast", "omnibus.transport.relay", *SLOW}

    def test_only_public_modules(self) -> None:
        """No module of ours names a private one of a dependency."""
        private = re.compile(r"(dbus_fast|asyncio)\._")
        rooms = (ROOT / name for name in ("auth", "bench", "ctl", "daemon", "policy", "systemd", "transport"))
        sources = [*ROOT.glob("*.py"), *(source for room in rooms for source in room.rglob("*.py"))]
        assert len(sources) > 100
        assert [source for source in sources if private.search(source.read_text())] == []
