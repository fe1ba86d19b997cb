"""`make install-files` and `make uninstall-files`, with DESTDIR and PREFIX."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = re.compile(r"^Exec\w+=(/\S*omnibus\S*)", re.MULTILINE)


def make(target: str, destination: Path, prefix: str) -> None:
    """Run make in the checkout."""
    settings = (f"DESTDIR={destination}", f"PREFIX={prefix}")
    done = subprocess.run(["make", "-s", target, *settings], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("settings", [(), ("WITH_LINK=yes",)])
def test_libraries_of_link(settings: tuple[str, ...]) -> None:
    """Nothing is fetched from the index by an installation unless it is asked to."""
    command = ["make", "-n", "install-program", f"BUILDER={sys.executable}", *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ("pip" in done.stdout) == bool(settings)


@pytest.fixture(params=["/usr", "/usr/local"])
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def installed(tmp_path: Path, prefix: str) -> Path:
    """The directory that stands for the root."""
    make("install-files", tmp_path, prefix)
    return tmp_path


class TestInstallation:
    def test_units(self, installed: Path, prefix: str) -> None:
        """Each unit names its programs by absolute paths below the prefix, and scripts of ours are there."""
        programs: set[str] = set()
        for unit in installed.glob(f".{prefix}/lib/systemd/*/*.service"):
            text = unit.read_text()
            programs |= set(OURS.findall(text))
            assert not re.search(r"^(Exec\w+=|OnFailure=/)omnibus", text, re.MULTILINE), unit
        assert programs == {
            f"{prefix}/{one}"
            for one in ("bin/omnibusd", "bin/omnibusctl", "bin/omnibus-link", "libexec/omnibus-fallback")
        }
        assert (installed / f".{prefix}/libexec/omnibus-fallback").stat().st_mode & 0o111

    def test_failure(self, installed: Path, prefix: str) -> None:
        """The unit of the bus names the fallback as a unit, which is there."""
        for scope in ("system", "user"):
            units = installed / f".{prefix}/lib/systemd/{scope}"
            (wanted,) = re.findall(r"^OnFailure=(.*)$", (units / "omnibus.service").read_text(), re.MULTILINE)
            assert (units / wanted).exists()

    def test_policy(self, installed: Path, prefix: str) -> None:
        """The policy is where the distribution's configuration looks for it, whatever the prefix."""
        place = {"/usr": "usr/share", "/usr/local": "etc"}[prefix]
        assert (installed / place / "dbus-1/system.d/org.omnibus.conf").exists()

    def test_manual(self, installed: Path, prefix: str) -> None:
        """Each program has a page, and so have the own file and the module."""
        places = installed / prefix.lstrip("/")
        programs = {path.name for folder in ("sbin", "libexec") for path in (places / folder).iterdir()}
        programs |= {"omnibusd", "omnibusctl", "omnibus-link"}
        programs |= {"omnibus-daemon-launch-helper", "omnibus-takeover"}
        pages = {path.stem for path in places.glob("share/man/man[1-9]/*")}
        assert pages == programs | {"omnibus.conf", "unix_multicast"}

    def test_switch(self, installed: Path, prefix: str) -> None:
        """omnibus-switch finds its own files beside it, and so knows its commands."""
        program = installed / f".{prefix}/sbin/omnibus-switch"
        done = subprocess.run([program, "--help"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: omnibus-switch status")

    def test_uninstall(self, installed: Path, prefix: str) -> None:
        """No file is left."""
        make("uninstall-files", installed, prefix)
        assert [path for path in installed.rglob("*") if not path.is_dir()] == []
