"""Fuzz targets with a time limit."""

from __future__ import annotations

import subprocess
from pathlib import Path


def fuzz(program: Path, seconds: int, longest: int, directory: Path, *corpora: Path) -> None:
    """Run a libFuzzer target; ``longest`` is in bytes, findings are written to ``directory``."""
    ran = subprocess.run(
        [
            program,
            f"-max_total_time={seconds}",
            "-timeout=10",
            f"-max_len={longest}",
            f"-artifact_prefix={directory}/",
            *corpora,
        ],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + 120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-8000:]
