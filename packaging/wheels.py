"""The source distribution and the wheels for the index, in build/release.

    wheels.py

Everything is made in a root of Debian 12 (wheels.sh), and tried: installed from the wheel in a fresh
environment on this architecture and, under an emulator, on aarch64; the C tests on both, with both libraries.
No interpreter for musl is to be had from Debian, so what those wheels have of Python is untested. Root only.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.append(str(CHECKOUT / "tests"))

from support.debian import CACHE, Root, copy_checkout, git, run  # noqa: E402

SUITE = "bookworm"
TARGET = CHECKOUT / "build/release"
# Compilers, C libraries and Python's headers for each platform, and what runs and tries the results.
PACKAGES = (
    *("build-essential", "python3-dev", "python3-venv", "libpython3-dev:arm64"),
    *(
        "gcc-aarch64-linux-gnu",
        "libc6-dev-arm64-cross",
        "musl-dev:arm64",
        "musl-tools",
        "patchelf",
        "qemu-user",
    ),
    *("dbus-bin", "dbus-daemon", "libglib2.0-bin"),
)
EMULATOR = "/usr/bin/qemu-aarch64-static"
# An aarch64 machine that runs the wheel: unpacked, not installed.
FOREIGN = ("ca-certificates", "python3-venv", "dbus-bin", "dbus-daemon", "libglib2.0-bin")
C_TESTS = ("aarch64", "musl", "musl-aarch64")
SPECS = "MUSL_AARCH64=/build/aarch64-musl.specs"
SMOKE = "sh /build/omnibus/packaging/wheel-smoke.sh /build/dist"


def make_root() -> Root:
    """Make the root that builds."""
    root = Root(SUITE, CACHE / "wheels" / SUITE)
    root.make("ca-certificates")
    root.share()
    if not (root.path / "usr/bin/musl-gcc").exists():
        root.enter(
            "export DEBIAN_FRONTEND=noninteractive; dpkg --add-architecture arm64; apt-get -q update\n"
            f"apt-get -qy --no-install-recommends install {' '.join(PACKAGES)}; apt-get clean"
        )
    return root


def make_foreign_root() -> Path:
    """Unpack the packages of an aarch64 machine; complete, or not at all."""
    path = CACHE / "wheels" / f"{SUITE}-arm64"
    if not path.exists():
        part = path.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        included = ",".join(FOREIGN)
        options = ("--foreign", "--arch=arm64", "--variant=minbase", f"--include={included}")
        run("debootstrap", *options, SUITE, part)
        for package in sorted((part / "var/cache/apt/archives").glob("*.deb")):
            run("dpkg-deb", "--extract", package, part)
            package.unlink()
        (part / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (part / "etc/group").write_text("root:x:0:\n")
        part.rename(path)
    return path


def try_foreign(root: Root) -> None:
    """Install the aarch64 wheel under the emulator, and use it."""
    place = make_foreign_root()
    Root(SUITE, place).share()
    for name in ("dist", "omnibus/packaging"):
        shutil.rmtree(place / "build" / name, ignore_errors=True)
        shutil.copytree(root.path / "build" / name, place / "build" / name)
    run("sh", CHECKOUT / "packaging/emulated.sh", place, EMULATOR, SMOKE)


def main() -> int:
    """Build and try everything; an exception says what failed."""
    root = make_root()
    (root.path / "build").mkdir(exist_ok=True)
    copy_checkout(root.path / "build/omnibus")
    date = git("log", "-1", "--format=%ct").strip()
    root.enter(f"cd /build/omnibus && SOURCE_DATE_EPOCH={date} packaging/wheels.sh")
    tests = " ".join(C_TESTS)
    check = f"make -s -k -j2 -C tests/cross architectures ARCHITECTURES='{tests}' {SPECS}"
    root.enter(f"cd /build/omnibus && {check}")
    root.enter(SMOKE)
    try_foreign(root)
    shutil.rmtree(TARGET, ignore_errors=True)
    shutil.copytree(root.path / "build/dist", TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
