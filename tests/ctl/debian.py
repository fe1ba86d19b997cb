"""`omnibusctl check` over the packages of a release of Debian that ship policies or service files.

    .venv/bin/python tests/ctl/debian.py SUITE [PACKAGE ...]

apt's index of contents tells which packages these are. They are downloaded a few at a time and read, not
installed, and deleted at once; what is kept in the cache are apt's lists. Users and groups are those that
sysusers.d files and maintainer scripts make. The findings stand in docs/contributing/check-debian.md.
"""

from __future__ import annotations

import argparse
import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from omnibus.ctl.checks import services
from omnibus.ctl.checks.configuration import check
from omnibus.ctl.checks.finding import CODES, Finding
from support.debian import CACHE

AT_ONCE = 20
"""Packages on the disk at the same time."""
LARGEST = 150_000_000
"""Bytes of a package that is still downloaded for the sake of a service file."""
# What decides, in the index of contents and in a package.
OURS = re.compile(
    r"(?:usr/share|etc)/dbus-1/(?:(?:system|session)\.d/.+\.conf|(?:system-)?services/.+\.service)"
)
WANTED = re.compile(
    r"(?:\./)?(?:(?:usr/share|etc)/dbus-1/.+|usr/lib/sysusers\.d/.+\.conf"
    r"|(?:usr/)?lib/systemd/(?:system|user)/.+|usr/share/systemd/user/.+)"
)
SYSUSERS = re.compile(r"^[ugm]!?\s+(\S+)(?:\s+(\S+))?", re.MULTILINE)
SCRIPT = re.compile(r"(?:adduser|addgroup|useradd|groupadd)\b([^\n;&|]*)")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
VARIABLE = re.compile(r"(?:USER|GROUP|NAME|user|group)\w*=[\"']?([A-Za-z_][A-Za-z0-9_-]*)")
FIRST_ID = 40_000
MAKING_USERS = ("tpm-udev",)
"""Packages that have no such files themselves, and make users for others that don't name them."""
UNIT = re.compile(r"lib/systemd/((?:system|user)/[^/]+\.(?:service|socket))$")
NEEDED = re.compile(r"^ +\|?(?:PreDepends|Depends|Recommends|Suggests): ([a-z0-9]\S*)$", re.MULTILINE)
SYSTEMD_SERVICE = re.compile(r"^SystemdService\s*=\s*(\S+)", re.MULTILINE)
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
STOCK = "usr/share/dbus-1"
BUSES = {"system": "system-services", "session": "services"}
UNIT_DIRS = ("usr/lib/systemd", "lib/systemd", "usr/share/systemd")


class Apt:
    """apt with the sources of one release, with lists and a cache of its own, and this machine's settings."""

    def __init__(self, suite: str) -> None:
        self._state = CACHE / "check-debian" / suite
        for name in ("lists/partial", "cache/archives/partial"):
            (self._state / name).mkdir(parents=True, exist_ok=True)
        (self._state / "status").touch()
        self._suite = suite
        self._address = self._mirror()
        source = f"deb [signed-by={KEYS}] {self._address} {suite} main\n"
        (self._state / "sources.list").write_text(source)
        options = {
            "Dir::Etc::SourceList": self._state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": self._state / "lists",
            "Dir::State::status": self._state / "status",
            "Dir::Cache": self._state / "cache",
            "APT::Sandbox::User": "root",
        }
        self._options = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    @staticmethod
    def _mirror() -> str:
        """Return the address of this machine's Debian."""
        form = "$(REPO_URI) $(LABEL) $(COMPONENT)"
        command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = next(line for line in listed.splitlines() if line.endswith(" Debian main"))
        return found.split()[0].rstrip("/")

    def run(self, *arguments: str, directory: str | None = None) -> str:
        command = ["apt-get", "-qq", *self._options, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=directory).stdout

    def contents(self) -> tuple[list[str], dict[str, str]]:
        """Return the packages with files that matter, and the package of each unit by its path."""
        self.run("update")
        found: set[str] = set()
        units: dict[str, str] = {}
        for architecture in ("all", "amd64"):
            command = ["zcat", self._index(architecture)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as reading:
                assert reading.stdout is not None
                for line in reading.stdout:
                    path, _, owners = line.rstrip().rpartition(" ")
                    packages = [owner.rpartition("/")[2] for owner in owners.split(",")]
                    if OURS.fullmatch(path.rstrip()):
                        found |= set(packages)
                    elif unit := UNIT.search(path.rstrip()):
                        units.setdefault(unit[1], packages[0])
        return sorted(found), units

    def _index(self, architecture: str) -> Path:
        """Download an index of contents.

        Only names are taken from it, so it is not one of apt's lists: mirrors often have another version of
        it than their Release file names, and then apt refuses all of them.
        """
        file = self._state / f"Contents-{architecture}.gz"
        file.unlink(missing_ok=True)
        address = f"{self._address}/dists/{self._suite}/main/{file.name}"
        command = ["/usr/lib/apt/apt-helper", *self._options, "-qq", "download-file", address, str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return file

    def needed_by(self, packages: Iterable[str]) -> list[str]:
        """Return what packages depend on or recommend."""
        command = ["apt-cache", *self._options, "depends", *packages]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return sorted(set(NEEDED.findall(listed)))

    def sizes(self, packages: Iterable[str]) -> dict[str, int]:
        """Return the size of each package's file, in bytes."""
        command = ["apt-cache", *self._options, "show", "--no-all-versions", *packages]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = re.findall(r"^Package: (\S+)$.*?^Size: (\d+)$", text, re.MULTILINE | re.DOTALL)
        return {name: int(size) for name, size in found}

    def downloaded(self, packages: list[str]) -> Iterator[Path]:
        """Yield the file of each package; it is deleted afterwards."""
        for at in range(0, len(packages), AT_ONCE):
            with tempfile.TemporaryDirectory(prefix="omnibus-check-") as name:
                self.run("download", *packages[at : at + AT_ONCE], directory=name)
                for deb in sorted(Path(name).glob("*.deb")):
                    yield deb
                    deb.unlink()
            print(f"\r{min(at + AT_ONCE, len(packages))} of {len(packages)} ", end="", file=sys.stderr)


class Root:
    """The files of the packages, and of which each is. A file of two has the contents of the first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packages: dict[str, str] = {}
        self.principals: set[str] = set()
        self.twice: list[str] = []

    def add(self, deb: Path) -> None:
        """Take what matters out of a package."""
        package = deb.name.partition("_")[0]
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as unpacking:
            assert unpacking.stdout is not None
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as files:
                for member in files:
                    if WANTED.fullmatch(member.name):
                        self._take(package, files, member)
        self._read_scripts(deb)

    def _read_scripts(self, deb: Path) -> None:
        """Note the users and groups that a package makes."""
        with tempfile.TemporaryDirectory() as control:
            subprocess.run(["dpkg-deb", "-e", deb, control], check=True)
            for script in ("preinst", "postinst"):
                file = Path(control, script)
                text = file.read_text(errors="replace") if file.exists() else ""
                self._read_script(text.replace("\\\n", " "))

    def _take(self, package: str, files: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        target = self.path / name
        if ".." in Path(name).parts or not (member.isfile() or member.issym()):
            return
        if name in self.packages:
            self.twice.append(f"{name}: {self.packages[name]}, {package}")
            return
        self.packages[name] = package
        target.parent.mkdir(parents=True, exist_ok=True)
        if member.issym():
            # A unit's other name, a service file of both buses, or a mask, which leads nowhere.
            linked = os.path.normpath(os.path.join("/", os.path.dirname(name), member.linkname))
            target.symlink_to(f"{self.path}{linked}")
            return
        content = files.extractfile(member)
        assert content is not None
        target.write_bytes(content.read())

    def _read_script(self, text: str) -> None:
        for arguments in SCRIPT.findall(text):
            words = [word.strip("\"'") for word in arguments.split() if not word.startswith("-")]
            self.principals |= {word for word in words if NAME.fullmatch(word)}
        # A script often has the name in a variable.
        self.principals |= set(VARIABLE.findall(text))

    def absent_units(self) -> Iterator[str]:
        """Yield the units, SCOPE/NAME, that service files name and that are not there."""
        for bus, directory in BUSES.items():
            scope = {"system": "system", "session": "user"}[bus]
            for file in (self.path / STOCK / directory).glob("*.service"):
                for unit in SYSTEMD_SERVICE.findall(file.read_text() if file.exists() else ""):
                    if not any((self.path / lib / scope / unit).exists() for lib in UNIT_DIRS):
                        yield f"{scope}/{unit}"

    def read_sysusers(self) -> None:
        for file in (self.path / "usr/lib/sysusers.d").glob("*.conf"):
            for name, other in SYSUSERS.findall(file.read_text()):
                self.principals |= {one for one in (name, other) if NAME.fullmatch(one)}

    def main_file(self, bus: str) -> Path:
        """Write the distribution's own file of a bus for this root."""
        stock = self.path / STOCK / f"{bus}.conf"

        def moved(found: re.Match[str]) -> str:
            path = found[2] if found[2].startswith("/") else f"/{STOCK}/{found[2]}"
            return f"<{found[1]}>{self.path}{path}</"

        directories = f"<servicedir>/{STOCK}/{BUSES[bus]}</servicedir>"
        text = re.sub(r"<standard_(system|session)_servicedirs\s*/>", directories, stock.read_text())
        text = re.sub(r"<(includedir|servicedir)>(.*?)</", moved, text)
        file = self.path / f"{bus}.conf"
        file.write_text(text)
        return file

    def package_of(self, finding: Finding) -> str | None:
        return self.packages.get(finding.file.removeprefix(f"{self.path}/"))


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


def use_units(root: Root) -> None:
    """Let checks look for units in the root instead of this machine."""
    for scope in services.UNIT_DIRS:
        services.UNIT_DIRS[scope] = tuple(f"{root.path}/{one.partition('/systemd')[0]}" for one in UNIT_DIRS)


def find(root: Root) -> list[tuple[str, Finding]]:
    """Check the configuration of both buses, with all users that are known by now."""
    root.read_sysusers()
    know(root.principals)
    return [(bus, one) for bus in BUSES for one in check(str(root.main_file(bus)))]


def report(root: Root, findings: list[tuple[str, Finding]], n_packages: int) -> None:
    """Print all faults, then a table."""
    counts: dict[str, Counter[str]] = {}
    for bus, one in findings:
        package = root.package_of(one)
        if package is None:
            continue
        counts.setdefault(package, Counter())[one.code] += 1
        if one.is_fault:
            print(f"{package} ({bus}) {str(one).replace(f'{root.path}', '')}")
            print(f"    {one.advice.replace(f'{root.path}', '')}")
    codes = sorted({code for counter in counts.values() for code in counter}, key=list(CODES).index)
    print(f"\n{n_packages} packages; something was found in {len(counts)}:\n")
    print(f"| package | {' | '.join(codes)} |\n|---|{'---:|' * len(codes)}")
    for package in sorted(counts):
        print(f"| {package} | {' | '.join(str(counts[package][code] or '') for code in codes)} |")
    totals = Counter(code for counter in counts.values() for code in counter.elements())
    print(f"| all | {' | '.join(str(totals[code]) for code in codes)} |")
    if root.twice:
        print(f"\nin two packages: {'; '.join(sorted(root.twice))}")


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("suite")
    parser.add_argument("packages", nargs="*")
    parser.add_argument(
        "--list", action="store_true", help="only say which packages these are, and their size"
    )
    options = parser.parse_args()
    os.nice(10)
    apt = Apt(options.suite)
    packages, units = apt.contents()
    packages = options.packages or packages
    stock = ["dbus-system-bus-common", "dbus-session-bus-common"]
    packages = sorted({*packages, *stock})
    sizes = apt.sizes(packages)
    left_out = [one for one in packages if sizes.get(one, 0) > LARGEST]
    packages = [one for one in packages if sizes.get(one, 0) <= LARGEST]
    if options.list:
        for one in sorted(packages, key=lambda one: -sizes.get(one, 0)):
            print(sizes.get(one), one)
        print(len(packages), "packages,", sum(sizes.values()) // 10**6, "MB; too large:", *left_out)
        return
    path = Path(tempfile.mkdtemp(prefix="omnibus-check-"))
    try:
        root = Root(path)
        for deb in apt.downloaded(packages):
            root.add(deb)
        # Units may be in another package than the service files that name them, and users are made by others.
        others = {units[one] for one in root.absent_units() if one in units}
        for deb in apt.downloaded(sorted(others - set(packages))):
            root.add(deb)
        use_units(root)
        findings = find(root)
        lacking = {root.package_of(one) or "" for _, one in findings if one.code == "W002"} - {""}
        if lacking:
            needed = {*apt.needed_by(lacking), *MAKING_USERS} - {*packages, *others}
            for deb in apt.downloaded(sorted(needed)):
                root.add(deb)
            findings = find(root)
        report(root, findings, len(packages))
        if left_out:
            print(f"\nnot read, as they are too large: {', '.join(left_out)}")
    finally:
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
