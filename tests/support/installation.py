"""An installed omnibus with files that a test may change."""

from __future__ import annotations

import shutil
from pathlib import Path

from .group import without_group

ROOMS = ("auth", "daemon", "policy", "systemd", "transport")


def link_interpreter(old: Path, environment: Path) -> None:
    """Give an environment the interpreter of another one, whose own link may be relative."""
    (environment / "bin/python3").symlink_to((old / "bin/python3").resolve())


def is_in_environment(executable: str) -> bool:
    """Return whether the program is in a Python environment, which can be copied."""
    return without_group(executable).with_name("python3").exists()


def install(environment: Path, executable: str) -> Path:
    """Make an environment with a copy of the package, which is returned; its dependencies are linked.

    The copy is started without the options that a wrapper of the executable would add.
    """
    program = without_group(executable)
    old = program.parent.parent
    (environment / "bin").mkdir(parents=True)
    shutil.copy(program, environment / "bin")
    link_interpreter(old, environment)
    shutil.copy(old / "pyvenv.cfg", environment)
    (here,) = old.glob("lib/python3*/site-packages")
    site = environment / here.relative_to(old)
    site.mkdir(parents=True)
    for path in here.iterdir():
        if path.name != "omnibus":
            (site / path.name).symlink_to(path)
    package = site / "omnibus"
    package.mkdir()
    source = here / "omnibus"  # or a link to the checkout
    for path in source.glob("*.py"):
        shutil.copy(path, package)
    for room in ROOMS:
        shutil.copytree(source / room, package / room, ignore=shutil.ignore_patterns("*.[ch]", "__pycache__"))
    return package
