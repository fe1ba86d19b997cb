"""All native code is built to make little of a mistake in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ("transport/relay/_relay", "transport/multicast/_uapi", "daemon/launch/_launch")
HELPER = "daemon/launch/omnibus-daemon-launch-helper"


def native() -> list[Path]:
    """Return everything that a build has made, and that the package has in it."""
    modules = [path for module in MODULES for path in ROOT.glob(f"{module}.*.so")]
    return [*modules, ROOT / HELPER]


def readelf(path: Path, *options: str) -> str:
    command = ["readelf", "--wide", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("path", native(), ids=lambda path: path.name)
class TestNative:
    def test_relocations_are_read_only(self, path: Path) -> None:
        """RELRO and BIND_NOW: nothing can redirect a call by writing to the table of functions."""
        assert "GNU_RELRO" in readelf(path, "--program-headers")
        dynamic = readelf(path, "--dynamic")
        assert any("NOW" in line for line in dynamic.splitlines() if "FLAGS" in line)

    def test_position_independent(self, path: Path) -> None:
        """Loaded at an address of the kernel's choice."""
        assert "DYN" in readelf(path, "--file-header")

    def test_stack_is_not_executable(self, path: Path) -> None:
        (line,) = (one for one in readelf(path, "--program-headers").splitlines() if "GNU_STACK" in one)
        assert " RW " in line

    def test_flags(self, path: Path) -> None:
        """Every file was compiled with the flags: the compiler notes them in what is for debuggers."""
        producers = [
            line for line in readelf(path, "--debug-dump=info").splitlines() if "DW_AT_producer" in line
        ]
        if not producers:
            pytest.skip("without debugging information")
        flags = [
            one for one in (ROOT / "transport/hardening.flags").read_text().split() if one.startswith("-f")
        ]
        for line in producers:
            assert all(flag in line for flag in flags), line

    def test_fortified(self, path: Path) -> None:
        """What writes into arrays is checked. The two others call nothing that could be."""
        if not path.name.startswith(("_uapi", "_launch")):
            assert "_chk@" in readelf(path, "--dyn-syms")


def test_everything_is_looked_at() -> None:
    assert len(native()) == len(MODULES) + 1
