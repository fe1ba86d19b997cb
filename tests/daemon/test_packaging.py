"""The packages of a wheel are listed by hand in pyproject.toml."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("auth", "ctl", "daemon", "link", "policy", "systemd", "transport")


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {"omnibus"}
    for room in ROOMS:
        for init in (ROOT / room).rglob("__init__.py"):
            found.add(".".join(("omnibus", *init.parent.relative_to(ROOT).parts)))
    assert set(settings["packages"]) == found


def test_stale_build_files_are_not_packed(tmp_path: Path) -> None:
    """`pip install .` builds in build/, which may still contain a module that has been deleted."""
    gone = tmp_path / "omnibus/daemon/gone.py"
    gone.parent.mkdir(parents=True)
    gone.touch()
    command = [sys.executable, "setup.py", "-q", "build_py", f"--build-lib={tmp_path}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "omnibus/daemon/main.py").exists()
    assert not gone.exists()


def test_licences_are_there() -> None:
    """Each by its identifier, and with its text."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT AND GPL-2.0-only"
    first_lines = [(ROOT / name).read_text().strip().splitlines()[0] for name in project["license-files"]]
    assert [line.strip() for line in first_lines] == ["MIT License", "GNU GENERAL PUBLIC LICENSE"]
