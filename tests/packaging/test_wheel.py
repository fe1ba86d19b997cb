"""The wheel of the checkout, installed in a fresh environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from support.programs import need_programs

ROOT = Path(__file__).parents[2]
NATIVE = {
    "omnibus/daemon/launch/_launch.abi3.so",
    "omnibus/daemon/launch/omnibus-daemon-launch-helper",
    "omnibus/link/wire/_frame.abi3.so",
    "omnibus/transport/multicast/_uapi.abi3.so",
    "omnibus/transport/relay/_relay.abi3.so",
    "omnibus/transport/relay/libomnibusrelay.so",
}


def build(directory: Path) -> Path:
    """Build a wheel, apart from what was built in the checkout."""
    base = f"--build-base={directory / 'build'}"
    command = [sys.executable, "setup.py", "-q", "egg_info", f"--egg-base={directory}", "build", base]
    command += ["bdist_wheel", f"--dist-dir={directory}", f"--bdist-dir={directory / 'bdist'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


def install(wheel: Path, environment: Path) -> None:
    """Install it in an environment of its own; its dependency is that of this environment."""
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [environment / "bin/pip", "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([*pip, wheel], check=True, capture_output=True)
    (site,) = environment.glob("lib/python3*/site-packages")
    for path in Path(sys.prefix).glob("lib/python3*/site-packages/_cffi_backend*"):
        (site / path.name).symlink_to(path)


def contents(wheel: Path) -> None:
    """It has each module that the checkout has, the native parts, and nothing that only builds."""
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
        (metadata,) = (opened.read(one).decode() for one in opened.namelist() if one.endswith("/METADATA"))
    assert re.search("^Name: omnibus-dbus$", metadata, re.MULTILINE)
    assert re.fullmatch(r"omnibus_dbus-[\d.]+-cp311-abi3-linux_\w+\.whl", wheel.name)
    scripts = {name.rpartition("/")[2] for name in names if ".data/scripts/" in name}
    assert scripts == {"omnibusd", "omnibusctl", "omnibus-link"}
    packed = {name for name in names if ".data/" not in name}
    rooms = ("auth", "ctl", "daemon", "link", "policy", "systemd", "transport")
    tracked = subprocess.run(
        ["git", "ls-files", *rooms], cwd=ROOT, check=True, capture_output=True, text=True
    )
    modules = {
        f"omnibus/{name}" for name in tracked.stdout.split() if re.search(r"\.pyi?$|^daemon/conf/", name)
    }
    modules = {name for name in modules if not name.endswith("/build.py")}
    modules |= {f"omnibus/{name}" for name in ("__init__.py", "openmetrics.py", "record.py", "py.typed")}
    assert packed == modules | NATIVE


def test_wheel(tmp_path: Path) -> None:
    """Its programs run, and all that a session's bus needs is found."""
    need_programs("dbus-run-session", "dbus-send")
    wheel = build(tmp_path)
    contents(wheel)
    environment = tmp_path / "environment"
    install(wheel, environment)
    program = environment / "bin/omnibusd"
    script = ROOT / "packaging/debian/tests/session-bus"
    subprocess.run(["sh", script], check=True, env={**os.environ, "OMNIBUSD": str(program)}, timeout=120)
    for name in ("omnibusd", "omnibusctl"):
        done = subprocess.run([environment / "bin" / name, "--version"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    (helper,) = environment.glob("lib/python3*/site-packages/omnibus/daemon/launch/*-launch-helper")
    assert "usage:" in subprocess.run([helper], capture_output=True, text=True).stderr


def test_no_page_installs_the_other_project() -> None:
    """The project omnibus of the index is another one."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/man/*")]
    wrong = re.compile(r"(?:pipx?|uv(?: tool| pip)?) install (?:[^\n`]* )?omnibus(?![\w-])")
    assert [page for page in pages if wrong.search(page.read_text())] == []
