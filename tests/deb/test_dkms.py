"""The package with the kernel module: dkms builds it for the installed kernel, and removes it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.debian import CACHE, Root
from support.debs import packages
from support.overlay import Overlay

PACKAGE = "omnibus-dkms"
MODULE = "unix_multicast"
DPKG = "DEBIAN_FRONTEND=noninteractive dpkg {} >/root/log 2>&1 || {{ cat /root/log; exit 1; }}"


@pytest.fixture
def machine(suite_name: str, memory: Path) -> Iterator[Root]:
    """A root with a kernel's headers and dkms; not booted, as the module is for another kernel."""
    kept = Root(suite_name, CACHE / "deb" / f"{suite_name}-kernel")
    kept.make("ca-certificates")
    kept.share()
    if not (kept.path / "usr/sbin/dkms").exists():
        kept.enter(
            "apt-get -q update\nexport DEBIAN_FRONTEND=noninteractive\n"
            "apt-get -qy install --no-install-recommends dkms linux-headers-amd64 libc6-dev; apt-get clean"
        )
    directory = memory / f"kernel-{suite_name}"
    overlay = Overlay(directory, [kept.path])
    (package,) = packages(suite_name).glob(f"{PACKAGE}_*.deb")
    shutil.copy(package, overlay.path("/root/module.deb"))
    yield Root(suite_name, overlay.root)
    overlay.unmount()
    shutil.rmtree(directory)


def built(machine: Root) -> list[Path]:
    """Return the modules that are where modprobe finds them."""
    return sorted(machine.path.glob(f"lib/modules/*/updates/dkms/{MODULE}.ko*"))


def test_installed_and_removed(machine: Root) -> None:
    """The installation builds the module of its version without a warning; the removal leaves nothing."""
    assert built(machine) == []
    machine.enter(DPKG.format("-i /root/module.deb"))
    (module,) = built(machine)
    inside = module.relative_to(machine.path)
    version = next(machine.path.glob(f"usr/src/{MODULE}-*")).name.removeprefix(f"{MODULE}-")
    machine.enter(f'test "$(modinfo -F version /{inside})" = {version}')
    (log,) = machine.path.glob(f"var/lib/dkms/{MODULE}/{version}/*/*/log/make.log")
    lines = [line for line in log.read_text().splitlines() if "pahole" not in line]
    assert [line for line in lines if "warning" in line.lower() or "error" in line.lower()] == []
    assert (machine.path / f"usr/share/man/man7/{MODULE}.7.gz").exists()
    machine.enter(DPKG.format(f"-P {PACKAGE}"))
    assert built(machine) == []
    places = ("usr/src", "var/lib/dkms", "etc", "usr/share")
    assert [path for place in places for path in (machine.path / place).rglob(f"*{MODULE}*")] == []
