"""The reference's own tests of Containers1, on a build of it that has it, and on omnibusd. Root only.

The sources of dbus 1.14 have Containers1 and keep it from being built; later ones have no trace of it. They
come from Debian 12, and are built in the cache, outside the checkout: the clients twice, as Debian builds
them for use and for debugging. Each test runs as root and as another user.

    cd tests && python3 -m containers.run [OMNIBUSD]
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from support.tap import Results, results, worse

CHECKOUT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omnibus" / "containers"
SUITE: Final = "bookworm"
COMMON: Final = (
    *("--prefix=/usr", "--sysconfdir=/etc", "--localstatedir=/var", "--runstatedir=/run"),
    # One file each, which runs anywhere.
    *("--disable-shared", "--enable-static", "--enable-modular-tests"),
    *("--disable-selinux", "--disable-apparmor", "--disable-libaudit", "--disable-systemd", "--without-x"),
    *("--disable-doxygen-docs", "--disable-ducktype-docs", "--disable-xml-docs"),
    "CPPFLAGS=-DDBUS_ENABLE_CONTAINERS",
)
BUILDS: Final[Mapping[str, Sequence[str]]] = {
    "production": ("--disable-embedded-tests", "--disable-asserts"),
    "debug": ("--enable-embedded-tests", "--enable-asserts", "--enable-checks"),
}
USERS: Final = ("root", "nobody")
LIMITS: Final = {  # of which the tests speak, and which the release leaves out
    "max_containers_per_user": 3,
    "max_connections_per_container": 3,
    "max_container_metadata_bytes": 4096,
}
DEADLINE: Final = 600  # seconds for all tests of one program


def run(*command: str | Path, directory: Path | None = None) -> None:
    """Run a command, whose output is shown only if it fails."""
    done = subprocess.run(
        [str(one) for one in command], cwd=directory, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def source() -> Path:
    """Return the sources, which are taken from Debian once and then compile with Containers1."""
    place = CACHE / "source"
    if place.exists():
        return place
    part = CACHE / "source.part"
    shutil.rmtree(part, ignore_errors=True)
    (part / "lists/partial").mkdir(parents=True)
    # Of apt's own settings only the address: releases and binary packages are not ours to change.
    targets = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian")
    addresses = subprocess.run(targets, check=True, capture_output=True, text=True).stdout.split()
    if not addresses:
        sys.exit("apt knows no archive of Debian")
    (part / "sources.list").write_text(f"deb-src {addresses[0]} {SUITE} main\n")
    settings = (
        *("-o", f"Dir::Etc::sourcelist={part}/sources.list", "-o", "Dir::Etc::sourceparts=-"),
        *("-o", f"Dir::State::lists={part}/lists", "-o", "APT::Sandbox::User=root"),
    )
    run("apt-get", "-q", *settings, "update")
    run("apt-get", "-q", *settings, "source", "--only-source", "dbus", directory=part)
    (found,) = part.glob("dbus-1.14.*/")
    _enable(found)
    found.rename(place)
    shutil.rmtree(part)
    return place


def _enable(place: Path) -> None:
    """Remove the line that refuses to compile, and define the one name that was removed."""
    code, header = place / "bus/containers.c", place / "bus/containers.h"
    lines = code.read_text().splitlines(keepends=True)
    code.write_text("".join(one for one in lines if "#error This feature is not ready" not in one))
    name = '#define DBUS_INTERFACE_CONTAINERS1 "org.freedesktop.DBus.Containers1"\n'
    mark = "#define BUS_CONTAINERS_H\n"
    text = header.read_text()
    assert mark in text
    header.write_text(text.replace(mark, mark + name))


def build(kind: str) -> Path:
    """Return the directory of a build, which is made once."""
    place = CACHE / kind
    if place.exists():
        return place
    sources = source()
    print(f"building dbus for {kind}", flush=True)
    part = CACHE / f"{kind}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    run(sources / "configure", "-q", *COMMON, *BUILDS[kind], directory=part)
    jobs = f"-j{os.cpu_count()}"
    for folder, target in (("dbus", "all"), ("bus", "dbus-daemon"), ("test", "test-containers")):
        run("make", "-s", jobs, "-C", part / folder, target)
    part.rename(place)
    return place


def lay_out(kind: str, directory: Path) -> None:
    """Copy programs and configurations to where every user reaches them."""
    built = build(kind)
    shutil.copy(built / "test/test-containers", directory)
    shutil.copy(built / "bus/dbus-daemon", directory)
    data = directory / "data/valid-config-files"
    data.mkdir(parents=True)
    shutil.copy(built / "bus/session.conf", data)
    for name in ("multi-user", "limit-containers", "max-containers"):
        text = (source() / f"test/data/valid-config-files/{name}.conf.in").read_text()
        if name == "limit-containers":
            limits = "".join(f'<limit name="{key}">{value}</limit>' for key, value in LIMITS.items())
            text = text.replace("</busconfig>", f"{limits}</busconfig>")
        (data / f"{name}.conf").write_text(text.replace("@TEST_LISTEN@", "unix:tmpdir=/tmp"))


def wrap(omnibusd: str, directory: Path) -> Path:
    """Return a program that is omnibusd with containers."""
    (directory / "omnibus.conf").write_text("<omnibusconfig><containers>on</containers></omnibusconfig>")
    program = directory / "omnibusd"
    program.write_text(f'#!/bin/sh\nexec "{omnibusd}" --omnibus-config="{directory}/omnibus.conf" "$@"\n')
    program.chmod(0o755)
    return program


def test(directory: Path, daemon: Path, user: str) -> Results:
    """Run all tests of one client build on one daemon, as one user."""
    account = pwd.getpwnam(user)
    home = Path(tempfile.mkdtemp(prefix="containers-"))
    os.chown(home, account.pw_uid, account.pw_gid)
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "DBUS_TEST_DAEMON": str(daemon),
        "DBUS_TEST_DATA": str(directory / "data"),
    }
    output = home / "output"
    with output.open("wb") as stream:
        subprocess.run(
            [directory / "test-containers", "--tap"],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            timeout=DEADLINE,
            check=False,
        )
    text = output.read_text(errors="replace")
    found = results(text)
    if "failed" in found.values() or not found:
        print(text)
    shutil.rmtree(home)
    return found


def main() -> int:
    """Run everything; return 0 if omnibusd passes what the reference passes, and that is something."""
    omnibusd = sys.argv[1] if len(sys.argv) > 1 else str(CHECKOUT / ".venv/bin/omnibusd")
    CACHE.mkdir(parents=True, exist_ok=True)
    # As on a machine with dbus; in this process's own mount namespace.
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run/dbus")
    os.mkdir("/run/dbus/containers")
    fewer = []
    totals = {"reference": 0, "omnibusd": 0}
    for kind in BUILDS:
        directory = Path(tempfile.mkdtemp(prefix="containers-"))
        directory.chmod(0o755)
        lay_out(kind, directory)
        daemons = {"reference": directory / "dbus-daemon", "omnibusd": wrap(omnibusd, directory)}
        for user in USERS:
            found = {name: test(directory, daemon, user) for name, daemon in daemons.items()}
            for name, outcomes in found.items():
                passed = list(outcomes.values()).count("passed")
                totals[name] += passed
                print(f"{kind}, {user}, {name}: {passed} of {len(outcomes)} passed", flush=True)
            less = worse(found["reference"], found["omnibusd"])
            fewer += [f"{kind}, {user}: {one} {outcome}" for one, outcome in less.items()]
        shutil.rmtree(directory)
    print(f"passed: reference {totals['reference']}, omnibusd {totals['omnibusd']}")
    print(*fewer, sep="\n")
    return int(bool(fewer) or not totals["reference"])


if __name__ == "__main__":
    sys.exit(main())
