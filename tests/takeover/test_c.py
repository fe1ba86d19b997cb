"""The C tests of omnibus-takeover: each ``TEST(...)`` is a test here; each fuzz_*.c runs briefly."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from support.c_programs import build, cases, run
from support.fuzz import fuzz

HERE = Path(__file__).parent
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "2"))

pytestmark = pytest.mark.skipif(
    not (shutil.which("clang") and shutil.which("make")), reason="clang and make build the C tests"
)


@pytest.mark.parametrize(("program", "name"), cases(HERE))
def test_c(program: str, name: str) -> None:
    run(build(HERE, program), name)


@pytest.mark.parametrize("program", sorted(path.stem for path in HERE.glob("fuzz_*.c")))
def test_fuzz(program: str, tmp_path: Path) -> None:
    found = tmp_path / "corpus"
    found.mkdir()
    seeds = HERE / "corpus" / program.removeprefix("fuzz_")
    fuzz(build(HERE, program), FUZZ_SECONDS, 4096, tmp_path, found, seeds)
