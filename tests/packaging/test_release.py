"""What `make release` asks for, and the source distribution."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.debian import copy_checkout

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "packaging"))

from release import VERSIONS, problems, project_version, write_sums  # noqa: E402

VERSION = "7.8.9"


def put(root: Path, name: str, old: str, new: str) -> None:
    """Replace a text in a file."""
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


@pytest.fixture
def releasable(tmp_path: Path) -> Path:
    """The files that are looked at, of a version that can be released."""
    now = project_version(ROOT)
    for name in ("__init__.py", "README.md", "CHANGELOG.md", *VERSIONS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text.replace(now, VERSION))
    first = (tmp_path / "CHANGELOG.md").read_text().split("\n## ")[1].split("\n")[0]
    put(tmp_path, "CHANGELOG.md", f"## {first}", f"## {VERSION} (2030-01-31)")
    put(tmp_path, "README.md", f"{VERSION} is not released yet", f"{VERSION} is released")
    states = tmp_path / "tests/upgrade/states"
    states.mkdir(parents=True)
    for ending in ("state", "json"):
        (states / f"{VERSION}.{ending}").touch()
    return tmp_path


class TestProblems:
    def test_none(self, releasable: Path) -> None:
        assert problems(releasable) == []

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda root: put(root, "__init__.py", VERSION, "7.8"), "no version of three numbers"),
            *(
                (lambda root, name=name: put(root, name, VERSION, "7.8.8"), f"{name}: has 7.8.8")
                for name in VERSIONS
            ),
            (lambda root: put(root, "CHANGELOG.md", "2030-01-31", "soon"), "CHANGELOG.md: does not begin"),
            (
                lambda root: put(
                    root, "README.md", f"{VERSION} is released", f"{VERSION} is not released yet"
                ),
                "README.md",
            ),
            (lambda root: (root / f"tests/upgrade/states/{VERSION}.state").unlink(), "make record-state"),
        ],
    )
    def test_each(self, releasable: Path, change: Callable[[Path], object], said: str) -> None:
        """Each is named, with its file."""
        change(releasable)
        assert any(said in problem for problem in problems(releasable))

    def test_the_checkout_has_one_version(self) -> None:
        assert [one for one in problems(ROOT) if "instead of" in one] == []


def test_sums(tmp_path: Path) -> None:
    """sha256sum(1) can check them."""
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian/a.deb").write_bytes(b"a")
    (tmp_path / "b.whl").write_bytes(b"b")
    text = write_sums(tmp_path)
    assert text == (tmp_path / "SHA256SUMS").read_text()
    assert f"{hashlib.sha256(b'a').hexdigest()}  debian/a.deb\n" in text
    assert len(write_sums(tmp_path).splitlines()) == 2
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)


LEFT_BY_BUILDS = (
    "daemon/launch/_launch.c",
    "daemon/launch/omnibus-daemon-launch-helper",
    "daemon/omnibusd",
    "transport/relay/_relay.abi3.so",
    "transport/relay/_relay.c",
    "tests/relay/build/test_pool",
    "build/deb/bookworm/a.deb",
    "dist/a.whl",
)


def test_source_distribution(tmp_path: Path) -> None:
    """It has every file of the repository, and nothing that a build has left."""
    copy = tmp_path / "copy"
    copy_checkout(copy)
    here = {str(path.relative_to(copy)) for path in copy.rglob("*") if not path.is_dir()}
    for name in LEFT_BY_BUILDS:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()
    command = [sys.executable, "setup.py", "-q", "sdist", f"--dist-dir={tmp_path}"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    assert archive.name.startswith("omnibus_dbus-")
    with tarfile.open(archive) as opened:
        packed = {one.name.partition("/")[2] for one in opened.getmembers() if not one.isdir()}
    assert here - packed == set()
    made = {"PKG-INFO", "setup.cfg"}
    assert {name for name in packed - here - made if not name.startswith("omnibus_dbus.egg-info/")} == set()
