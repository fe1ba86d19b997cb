"""All native code is built with hardening flags."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = ("transport/relay/_relay", "transport/multicast/_uapi", "daemon/launch/_launch")
RELAY = "transport/relay/libomnibusrelay.so"
HELPER = "daemon/launch/omnibus-daemon-launch-helper"
OTHERS = (RELAY, HELPER)


def native() -> list[Path]:
    """Return all native files that a build produces for the package."""
    modules = [path for module in MODULES for path in ROOT.glob(f"{module}.*.so")]
    return [*modules, *(ROOT / name for name in OTHERS)]


def readelf(path: Path, *options: str) -> str:
    command = ["readelf", "--wide", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("path", native(), ids=lambda path: path.name)
class TestNative:
    def test_relocations_are_read_only(self, path: Path) -> None:
        """RELRO and BIND_NOW: the function table can't be overwritten to redirect a call."""
        assert "GNU_RELRO" in readelf(path, "--program-headers")
        dynamic = readelf(path, "--dynamic")
        assert any("NOW" in line for line in dynamic.splitlines() if "FLAGS" in line)

    def test_position_independent(self, path: Path) -> None:
        """The code can be loaded at any address."""
        assert "DYN" in readelf(path, "--file-header")

    def test_stack_is_not_executable(self, path: Path) -> None:
        (line,) = (one for one in readelf(path, "--program-headers").splitlines() if "GNU_STACK" in one)
        assert " RW " in line

    def test_flags(self, path: Path) -> None:
        """Every file was compiled with the flags, as the debugging information shows."""
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
        """Buffer writes are checked. The modules call no function with a checked variant."""
        if not path.name.startswith("_"):
            assert "_chk@" in readelf(path, "--dyn-syms")


def test_all_files_are_checked() -> None:
    assert len(native()) == len(MODULES) + len(OTHERS)
