"""docs/using/containers.md: its files on fresh roots, and what a small machine needs."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.debian import CACHE, Root
from support.debs import CHECKOUT, packages
from support.machine import running, wait_until
from support.overlay import Overlay
from support.raw import BusError, Client, Closed

SUITE = "bookworm"
EXAMPLES = CHECKOUT / "docs/examples"
CONTAINERFILE = EXAMPLES / "container/Containerfile"
BUDGET = 14 << 20  # bytes


def instructions(file: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Containerfile, each with its arguments."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def last(name: str) -> str:
    """Return the arguments of the only instruction with this name."""
    (rest,) = [rest for one, rest in instructions(CONTAINERFILE) if one == name]
    return rest


def apt_packages(commands: str) -> list[str]:
    """Return the packages that a line installs."""
    return re.findall(r"--no-install-recommends ([^&]+?) &&", commands)[0].split()


@pytest.fixture(scope="module")
def image(memory: Path) -> Iterator[Overlay]:
    """What a builder of containers makes of the file. The base is debootstrap's, for want of a registry."""
    overlay = None
    for name, rest in instructions(CONTAINERFILE):
        match name:
            case "FROM":
                assert rest == f"debian:{SUITE}-slim"
            case "RUN" if rest.startswith("apt-get"):
                base = Root(SUITE, CACHE / "deb" / f"{SUITE}-container")
                base.make(*apt_packages(rest))
                overlay = Overlay(memory / "container", [base.path])
            case "RUN":
                assert overlay
                Root(SUITE, overlay.root).enter(rest)
            case "COPY":
                assert overlay
                source, target = rest.split()
                copy = shutil.copytree if (CHECKOUT / source).is_dir() else shutil.copy
                copy(CHECKOUT / source, overlay.path(target))
            case "VOLUME" | "USER" | "ENTRYPOINT":
                pass
            case _:
                raise AssertionError(name)
    assert overlay
    yield overlay
    overlay.unmount()
    shutil.rmtree(memory / "container")


class TestContainer:
    def test_serves(self, image: Overlay) -> None:
        """Process 1, a user that /etc/passwd does not know, no privileges, a root that is read-only."""
        uid, gid = last("USER").split(":")
        volume = last("VOLUME")
        command = shlex.split(last("ENTRYPOINT").strip("[]").replace(",", " "))
        rights = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs")
        options = ("--read-only", f"--tmpfs={volume}:mode=1777")
        init = (*options, *rights, "--bounding-set=-all", *command)
        with running(image, init=init) as machine:
            address = machine.address(f"{volume}/socket")
            wait_until(lambda: serves(address), "the bus")
            status = machine.outside("/proc/1/status").read_text()
            assert re.search(rf"^Uid:\t{uid}\t", status, re.MULTILINE)
            assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
            with contextlib.closing(Client(address)) as client:
                assert client.driver("RequestName", "su", "org.example.Name", 0) == 1
                client.driver("ReloadConfig")
            assert machine.end(signal.SIGTERM) == 0


@pytest.fixture(scope="module")
def small(memory: Path) -> Iterator[Overlay]:
    """A root with busybox's init, the package of omnibus, and only those modules of Python."""
    base = Root(SUITE, CACHE / "deb" / f"{SUITE}-small")
    base.make("busybox-static", "python3", "python3-cffi-backend", "dbus-system-bus-common")
    overlay = Overlay(memory / "small", [base.path])
    (package,) = packages(SUITE).glob("omnibus-daemon_*.deb")
    shutil.copy(package, overlay.path("/omnibus.deb"))
    script = "dpkg -i /omnibus.deb >/log 2>&1 || { cat /log; exit 1; }; rm /omnibus.deb"
    Root(SUITE, overlay.root).enter(script)
    keep_modules(overlay)
    overlay.path("/etc/init.d").mkdir(exist_ok=True)
    shutil.copy(EXAMPLES / "embedded/inittab", overlay.path("/etc/inittab"))
    shutil.copy(EXAMPLES / "embedded/rcS", overlay.path("/etc/init.d/rcS"))
    yield overlay
    overlay.unmount()
    shutil.rmtree(memory / "small")


def modules() -> set[str]:
    """Return the files of Python's library that the page lists."""
    lines = (EXAMPLES / "embedded/modules.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def keep_modules(overlay: Overlay) -> None:
    """Remove what is not listed of Python's library."""
    library = overlay.path("/usr/lib/python3.11")
    listed = modules()
    compiled = {re.sub(r"([^/]+)\.py$", r"__pycache__/\1.cpython-311.pyc", one) for one in listed}
    for path in sorted(library.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.rmdir()
        elif str(path.relative_to(library)) not in listed | compiled:
            path.unlink()
    assert {one for one in listed if not (library / one).exists()} == set()


def size(*paths: Path) -> int:
    """Return the bytes of all files at and below paths."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def serves(address: str) -> bool:
    with contextlib.suppress(OSError, Closed), contextlib.closing(Client(address)) as client:
        return bool(client.driver("GetId"))
    return False


class TestSmallMachine:
    def test_serves(self, small: Overlay) -> None:
        """The bus starts, starts a service, reads its configuration again, and comes back if it is killed."""
        service = "[D-BUS Service]\nName=org.example.Service\nExec=/bin/busybox false\nUser=root\n"
        small.write("/usr/share/dbus-1/system-services/org.example.Service.service", service)
        with running(small, init=("/bin/busybox", "init")) as machine:
            wait_until(lambda: serves(machine.address()), "the bus")
            with contextlib.closing(Client(machine.address())) as client:
                client.driver("ReloadConfig")
                with pytest.raises(BusError) as raised:
                    client.driver("StartServiceByName", "su", "org.example.Service", 0)
                assert raised.value.name == "org.freedesktop.DBus.Error.Spawn.ChildExited"
            machine.run("busybox", "killall", "-9", "omnibusd")
            wait_until(lambda: serves(machine.address()), "the bus after it was killed")

    def test_budget(self, small: Overlay) -> None:
        """Python, omnibus and what is between them fit."""
        assert size(*parts(small)) <= BUDGET


def parts(small: Overlay) -> list[Path]:
    """Return what the page's table counts."""
    library = "/usr/lib/x86_64-linux-gnu"
    return [
        *(small.path(one) for one in ("/usr/lib/omnibus", "/usr/bin/python3.11", "/usr/lib/python3.11")),
        *small.path("/usr/lib/python3/dist-packages").glob("_cffi_backend*"),
        *small.path(library).glob("libffi.so.*"),
    ]
