"""`make check-debian`: what it takes out of packages, without any from a mirror."""

from __future__ import annotations

import grp
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from omnibus.ctl.checks import services

from .debian import NEEDED, OURS, UNIT, Root, find, report, use_units

STOCK = "/usr/share/dbus-1"
MAIN = """<busconfig><type>{type}</type><listen>unix:path=/x</listen>{helper}
<standard_{type}_servicedirs/>
<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/></policy>
<includedir>{type}.d</includedir></busconfig>"""
POLICY = """<busconfig>
<policy user="echo"><allow own="org.example.Echo"/></policy>
<policy context="default"><allow send_interface="org.example.Echo"/></policy>
</busconfig>"""
SERVICE = "[D-BUS Service]\nName=org.example.Echo\nExec=/bin/false\nUser=root\nSystemdService=echo.service\n"


@pytest.fixture
def make(tmp_path: Path):
    """Build a package with these files, and a script that is run after the installation."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")

    def build(name: str, files: dict[str, str], script: str = "") -> Path:
        tree = tmp_path / name
        for path, text in {
            **files,
            "/DEBIAN/control": f"Package: {name}\nVersion: 1\nArchitecture: all\n",
        }.items():
            file = tree / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(
                f"{text}Maintainer: x <x@example.org>\nDescription: x\n" if "DEBIAN" in path else text
            )
        if script:
            postinst = tree / "DEBIAN/postinst"
            postinst.write_text(f"#!/bin/sh\n{script}\n")
            postinst.chmod(0o755)
        deb = tmp_path / f"{name}_1_all.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, deb], check=True, stdout=-3)
        return deb

    return build


@pytest.fixture
def root(tmp_path: Path, make, monkeypatch: pytest.MonkeyPatch) -> Root:
    """A release that has the main files, and a service with a policy; what is changed is put back."""
    for module, name in ((pwd, "getpwnam"), (grp, "getgrnam")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(services, "UNIT_DIRS", dict(services.UNIT_DIRS))
    root = Root(tmp_path / "root")
    helper = "<servicehelper>/bin/false</servicehelper>"
    stock = {
        f"{STOCK}/{one}.conf": MAIN.format(type=one, helper=helper if one == "system" else "")
        for one in ("system", "session")
    }
    root.add(make("dbus-common", stock))
    files = {
        f"{STOCK}/system.d/org.example.conf": POLICY,
        f"{STOCK}/system-services/org.example.Echo.service": SERVICE,
        "/usr/share/doc/echo/copyright": "not read",
    }
    root.add(make("echo", files))
    use_units(root)
    return root


def codes(root: Root) -> dict[str, int]:
    found: dict[str, int] = {}
    for _, one in find(root):
        if one.is_fault and root.package_of(one) == "echo":
            found[one.code] = found.get(one.code, 0) + 1
    return found


class TestRoot:
    def test_what_is_taken(self, root: Root) -> None:
        assert not (root.path / "usr/share/doc").exists()
        assert root.packages[f"{STOCK}/system.d/org.example.conf".lstrip("/")] == "echo"

    def test_findings(self, root: Root) -> None:
        """An unknown user, a rule about all services, a unit that is not there."""
        assert codes(root) == {"W002": 1, "W004": 1, "S013": 1}

    @pytest.mark.parametrize(
        ("script", "files"),
        [
            ("adduser --system --group echo", {}),
            ("ECHO_USER=echo\nuseradd $ECHO_USER", {}),
            ("", {"/usr/lib/sysusers.d/echo.conf": 'u echo - "Echo"\n'}),
        ],
    )
    def test_users_of_another_package(self, root: Root, make, script: str, files: dict[str, str]) -> None:
        root.add(make("echo-users", files, script))
        assert "W002" not in codes(root)

    def test_unit_of_another_package(self, root: Root, make) -> None:
        assert list(root.absent_units()) == ["system/echo.service"]
        unit = "[Service]\nUser=echo\nBusName=org.example.Echo\n"
        root.add(make("echo-units", {"/lib/systemd/system/echo.service": unit}, "adduser --system echo"))
        services._aliases.cache_clear()
        assert list(root.absent_units()) == []
        assert "S013" not in codes(root)

    def test_file_of_two(self, root: Root, make) -> None:
        """The first one counts."""
        root.add(make("other", {f"{STOCK}/system.d/org.example.conf": "<busconfig/>"}))
        assert codes(root)["W004"] == 1
        assert root.twice == [f"{STOCK[1:]}/system.d/org.example.conf: echo, other"]

    def test_report(self, root: Root, capsys: pytest.CaptureFixture[str]) -> None:
        report(root, find(root), 2)
        out = capsys.readouterr().out
        assert "| echo | 1 | 1 | 1 |" in out
        assert str(root.path) not in out


def test_names() -> None:
    """What the index of contents, and the dependencies of a package, are searched for."""
    assert OURS.fullmatch("usr/share/dbus-1/system.d/a.conf")
    assert OURS.fullmatch("usr/share/dbus-1/services/a.b.service")
    assert not OURS.fullmatch("usr/share/dbus-1/interfaces/a.b.xml")
    found = UNIT.search("usr/lib/systemd/user/a.service")
    assert found and found[1] == "user/a.service"
    assert NEEDED.findall(
        "echo\n  Depends: one\n |Recommends: two\n  Suggests: <virtual>\n  Breaks: x\n"
    ) == ["one", "two"]
