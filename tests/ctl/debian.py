"""`omnibusctl check` over packages of this machine's release of Debian: `make check-debian`.

    .venv/bin/python tests/ctl/debian.py [PACKAGE ...]

The packages are downloaded and read, not installed, and deleted at the end. Users and groups are those that
their sysusers.d files and maintainer scripts make. What is found stands in docs/contributing/check-debian.md.
"""

from __future__ import annotations

import grp
import pwd
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from omnibus.ctl.checks import services
from omnibus.ctl.checks.configuration import check
from omnibus.ctl.checks.finding import CODES, Finding

PACKAGES = (
    *("accountsservice", "avahi-daemon", "bluez", "colord", "firewalld", "geoclue-2.0", "gdm3", "hplip"),
    *("modemmanager", "network-manager", "packagekit", "polkitd", "rtkit", "sssd-dbus", "systemd"),
    *("udisks2", "upower", "wpasupplicant"),
)
STOCK = Path("/usr/share/dbus-1/system.conf")
PAGE = Path(__file__).parents[2] / "docs/contributing/check-debian.md"
SYSUSERS = re.compile(r"^[ugm]!?\s+(\S+)(?:\s+(\S+))?", re.MULTILINE)
SCRIPT = re.compile(r"(?:adduser|addgroup|useradd|groupadd)\b([^\n;&|]*)")
FIRST_ID = 40_000


class Root:
    """The files of some packages, and where each is from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packages: dict[str, str] = {}
        self.principals: set[str] = set()

    def add(self, package: str) -> None:
        """Download a package, unpack it, and note what it makes."""
        with tempfile.TemporaryDirectory() as name:
            subprocess.run(
                ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=name, check=True
            )
            (deb,) = Path(name).glob("*.deb")
            listed = subprocess.run(
                ["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True
            ).stdout
            for path in re.findall(r" \.(/\S*(?:/dbus-1/)\S+)$", listed, re.MULTILINE):
                self.packages[path] = package
            subprocess.run(["dpkg-deb", "-x", deb, self.path], check=True)
            control = Path(name, "control")
            subprocess.run(["dpkg-deb", "-e", deb, control], check=True)
            for script in ("preinst", "postinst"):
                text = (control / script).read_text() if (control / script).exists() else ""
                self._read_script(text.replace("\\\n", " "))

    def _read_script(self, text: str) -> None:
        for arguments in SCRIPT.findall(text):
            words = [word.strip("\"'") for word in arguments.split() if not word.startswith("-")]
            self.principals |= {word for word in words if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", word)}
        # A script often has the name in a variable.
        self.principals |= set(re.findall(r"(?:USER|GROUP)\w*=[\"']?([A-Za-z_][A-Za-z0-9_-]*)", text))

    def read_sysusers(self) -> None:
        for file in self.path.glob("usr/lib/sysusers.d/*.conf"):
            for name, other in SYSUSERS.findall(file.read_text()):
                self.principals |= {name} | ({other} if re.fullmatch(r"[a-z][a-z0-9_-]*", other) else set())

    def main_file(self) -> Path:
        """Write the distribution's system.conf for this root."""

        def moved(found: re.Match[str]) -> str:
            path = found[2] if found[2].startswith("/") else f"{STOCK.parent}/{found[2]}"
            return f"<{found[1]}>{self.path}{path}</"

        services_of = f"<servicedir>{STOCK.parent}/system-services</servicedir>"
        text = STOCK.read_text().replace("<standard_system_servicedirs/>", services_of)
        text = re.sub(r"<(includedir|servicedir)>(.*?)</", moved, text)
        file = self.path / "system.conf"
        file.write_text(text)
        return file

    def package_of(self, finding: Finding) -> str:
        return self.packages.get(finding.file.removeprefix(str(self.path)), "?")


def know(principals: set[str]) -> None:
    """Let the user database know what the packages would make."""
    known = {one.pw_name for one in pwd.getpwall()} | {one.gr_name for one in grp.getgrall()}
    ids = {name: FIRST_ID + number for number, name in enumerate(sorted(principals - known))}
    user_of, group_of = pwd.getpwnam, grp.getgrnam

    def getpwnam(name: str) -> pwd.struct_passwd:
        if name in ids:
            return pwd.struct_passwd((name, "x", ids[name], ids[name], "", "/", "/bin/false"))
        return user_of(name)

    def getgrnam(name: str) -> grp.struct_group:
        if name in ids:
            return grp.struct_group((name, "x", ids[name], []))
        return group_of(name)

    pwd.getpwnam, grp.getgrnam = getpwnam, getgrnam


def main() -> None:
    packages = sys.argv[1:] or PACKAGES
    with tempfile.TemporaryDirectory() as name:
        root = Root(Path(name))
        for package in packages:
            root.add(package)
        root.read_sysusers()
        know(root.principals)
        services.UNIT_DIRS["system"] = (f"{name}/usr/lib", f"{name}/lib")
        found = [one for one in check(str(root.main_file())) if root.package_of(one) != "?"]
        counts: dict[str, Counter[str]] = {package: Counter() for package in packages}
        for one in found:
            counts[root.package_of(one)][one.code] += 1
            if one.is_fault:
                print(str(one).replace(name, ""), one.advice.replace(name, ""), sep="\n    ")
        codes = sorted({code for counter in counts.values() for code in counter}, key=list(CODES).index)
        print(f"\n| package | {' | '.join(codes)} |\n|---|{'---:|' * len(codes)}")
        for package, counter in counts.items():
            print(f"| {package} | {' | '.join(str(counter[code] or '') for code in codes)} |")


if __name__ == "__main__":
    main()
