"""What Debian 12 lacks for AppArmor's mediation of D-Bus: a kernel and a parser, from sid, in the cache.

Mainline kernels have it from 6.17 on, for profiles that a parser from 4.1 on has compiled: others are not
asked about D-Bus at all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omnibus"
HERE = CACHE / "mediation"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = ("apparmor", "libapparmor1", "libzstd1", "libc6", "libstdc++6", "libgcc-s1")
LINKS = ("bin", "lib", "lib64", "sbin")
FEATURES = Path(__file__).with_name("apparmor.features")
"""What Linux 7.2 says of itself below /sys/kernel/security/apparmor/features, as the parser reads it."""


def environment() -> dict[str, str]:
    """Return an environment in which apt knows sid, and nothing else; its lists are fetched once."""
    apt = HERE / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    mirror = subprocess.run(
        ["bash", "-c", '. "$0/kernel/tools/common.sh" && debian_mirror', CHECKOUT],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} sid main\n")
    (apt / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{apt}/sources.list";\nDir::Etc::sourceparts "-";\n'
        f'Dir::State::lists "{apt}/lists";\nDir::Cache "{apt}/cache";\nAcquire::Check-Valid-Until "false";\n'
        'APT::Sandbox::User "root";\n'
    )
    found = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    if not list((apt / "lists").glob("*Packages*")):
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=found)
    return found


def kernel() -> str:
    """Return the series of sid's kernel, which is in the cache then."""
    text = subprocess.run(
        ["apt-cache", "pkgnames", "linux-image-"],
        check=True,
        env=environment(),
        capture_output=True,
        text=True,
    ).stdout
    series = re.findall(r"^linux-image-(\d+)\.(\d+)\.[\d.]+(?:\+deb\d+)?-amd64$", text, re.MULTILINE)
    newest = ".".join(max(series, key=lambda one: (int(one[0]), int(one[1]))))
    fetch = CHECKOUT / "kernel/tools/fetch-kernel.sh"
    subprocess.run([fetch, newest], check=True, env=environment(), stdout=subprocess.DEVNULL)
    return newest


def _root() -> Path:
    """Return a root directory with the parser."""
    root = HERE / "parser"
    if root.exists():
        return root
    part = root.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "debs").mkdir(parents=True)
    subprocess.run(
        ["apt-get", "download", "-qq", *PACKAGES], check=True, env=environment(), cwd=part / "debs"
    )
    for deb in (part / "debs").glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, part], check=True)
    shutil.rmtree(part / "debs")
    for name in LINKS:
        if not (part / name).exists() and (part / "usr" / name).exists():
            (part / name).symlink_to(f"usr/{name}")
    part.rename(root)
    return root


def compile_profiles(text: str) -> bytes:
    """Return profiles as the kernel loads them."""
    root = _root()
    shutil.copy(FEATURES, root / "features")
    command = ["chroot", root, "/usr/sbin/apparmor_parser", "--quiet", "--skip-cache", "--skip-kernel-load"]
    command += ["--features-file", "/features", "--stdout"]
    return subprocess.run(command, check=True, input=text.encode(), stdout=subprocess.PIPE).stdout
