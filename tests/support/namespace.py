"""Programs that see other files than the rest of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def namespace_script(script: Path, executable: str, *commands: str) -> str:
    """Write a wrapper of the executable, in a mount namespace prepared by shell commands.

    The test is skipped where namespaces can't be created.
    """
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare, for other files")
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("may not make a mount namespace")
    inside = script.with_name(f"{script.name}-inside")
    inside.write_text("\n".join(["#!/bin/sh -e", *commands, f'exec {executable} "$@"\n']))
    script.write_text(f'#!/bin/sh\nexec unshare --mount --propagation private {inside} "$@"\n')
    for one in (script, inside):
        one.chmod(0o755)
    return str(script)


def other_etc(directory: Path, **files: Path) -> tuple[str, ...]:
    """Return commands that replace files in /etc by these; ``_`` stands for ``-``.

    /etc itself is replaced: a mount over a single file is lost as soon as a package manager renames another
    file to that name, in whatever namespace.
    """
    outside, etc = directory / "outside-etc", directory / "etc"
    return (
        f"mkdir -p {outside} {etc}",
        f"mount --rbind /etc {outside}",
        f'for one in /etc/*; do ln -sfn "{outside}/${{one#/etc/}}" {etc}; done',
        *(f"ln -sfn {file} {etc}/{name.replace('_', '-')}" for name, file in files.items()),
        f"mount --bind {etc} /etc",
    )
