"""Files for contributors: the hooks of pre-commit run the linters of make lint, from this checkout."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text()


def test_hooks_are_local() -> None:
    """No hook is fetched from elsewhere."""
    assert re.findall(r"^ *- repo: (.*)$", HOOKS, re.MULTILINE) == ["local"]
    assert "://" not in HOOKS


def test_hooks_run_the_linters() -> None:
    """Each linter of make lint has a hook; types are checked by make lint itself, before a push."""
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    entries = re.findall(r"^ *entry: (.*)$", HOOKS, re.MULTILINE)
    for linter in ("ruff check", "ruff format", "clang-format"):
        assert linter in lint
        assert any(linter in entry for entry in entries)
    assert "make -s lint" in entries
