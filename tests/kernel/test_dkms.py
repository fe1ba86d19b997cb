"""The module's packaging."""

from __future__ import annotations

import re
from pathlib import Path

import omnibus

KERNEL = Path(__file__).parents[2] / "kernel"


def version() -> str:
    found = re.search(r'^PACKAGE_VERSION="(.+)"$', (KERNEL / "dkms.conf").read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_version_is_the_projects() -> None:
    """dkms replaces an installed module only by one with another version."""
    assert version() == omnibus.__version__
    assert f"dkms install unix_multicast/{omnibus.__version__}" in (KERNEL / "README.md").read_text()
