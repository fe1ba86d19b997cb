"""Random AppArmor profiles, compiled before the guest boots, and what a guest does with them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from random import Random

from .sid import compile_profiles
from .values import ALL, INTERFACES, LABELS, MEMBERS, NAMES, NO_NAMES, PATHS

SECURITYFS = Path("/sys/kernel/security")
CONFINED = "  file,\n  network,\n  unix,\n  signal,\n  ptrace,\n  capability,\n  change_profile,\n"
"""What a client needs apart from D-Bus."""
BUS = "org.freedesktop.DBus"
INSTALLED = Path("/usr/lib/dbus-1.0")
BUILDS = {
    -2: INSTALLED / "installed-tests/dbus",
    -3: INSTALLED / "debug-build/libexec/installed-tests/dbus",
}
"""The directories of dbus's own tests, of Debian's package, by the numbers of their policies."""


def _rule(random: Random) -> str:
    access = random.choice(["send", "receive", "(send, receive)", "(send, receive)", "bind", "eavesdrop", ""])
    words = [random.choice(["", "", "", "", "audit", "deny", "audit deny"]), "dbus", access]
    if random.random() < 0.6:
        words.append("bus=" + random.choice(["session", "session", "session", "system"]))
    if access == "bind":
        words.append("name=" + random.choice([*NAMES, "org.example.*"]))
    elif access != "eavesdrop" and access:
        words += _fields(random)
    return "  " + " ".join(filter(None, words)) + ",\n"


def _fields(random: Random) -> list[str]:
    words = []
    if random.random() < 0.3:
        words.append("path=" + random.choice([*PATHS, "/org/example/**", "/org/freedesktop/DBus"]))
    if random.random() < 0.35:
        words.append("interface=" + random.choice([*INTERFACES, "org.example.*", BUS]))
    if random.random() < 0.25:
        words.append("member=" + random.choice([*MEMBERS, "{Member,Third}", "NameHasOwner"]))
    if random.random() < 0.45:
        peers = [f"label={name}" for name in (*LABELS, "unconfined")]
        peers += [f"name={name}" for name in (*NAMES, BUS, "org.example.*", ":1.*")]
        words.append(f"peer=({random.choice(peers)})")
    return words


def _profile(random: Random, name: str) -> str:
    flags = "attach_disconnected" + (",complain" if random.random() < 0.08 else "")
    rules = [_rule(random) for _ in range(random.randint(0, 6))]
    if random.random() < 0.5:
        rules.append(f"  dbus (send, receive) bus=session peer=(name={BUS}),\n")
    if random.random() < 0.3:
        rules.append("  dbus (send, receive) bus=session,\n")
    return f"profile {name} flags=({flags}) {{\n{CONFINED}{''.join(rules)}}}\n"


def _fixed(rule: str) -> str:
    return "".join(f"profile {name} {{\n{CONFINED}  {rule},\n}}\n" for name in LABELS)


def _of_tests(directory: Path) -> str:
    """Return the profile of dbus's own tests, for paths as the processes of a guest see them."""
    text = (directory / "data/dbus-installed-tests.aaprofile").read_text()
    return re.sub(r"^( *[/^]\S*) \{$", r"\1 flags=(chroot_relative) {", text, flags=re.MULTILINE)


def write_policies(seed: int, count: int, directory: Path) -> None:
    """Compile a policy that allows all, one that denies names only, dbus's own, and ``count`` random ones."""
    random = Random(seed)
    texts = {ALL: _fixed("dbus"), NO_NAMES: _fixed("dbus (send, receive)")}
    texts |= {number: _of_tests(directory) for number, directory in BUILDS.items()}
    texts |= {number: "".join(_profile(random, name) for name in LABELS) for number in range(1, count + 1)}
    for number, text in texts.items():
        (directory / f"{number}.profile").write_text(text)
        (directory / f"{number}.policy").write_bytes(compile_profiles(text))


class AppArmor:
    """The module in the guest."""

    name = "AppArmor"
    configuration = ""
    reloads = False
    direct = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if not (SECURITYFS / "lsm").exists():
            subprocess.run(["mount", "-t", "securityfs", "securityfs", SECURITYFS], check=True)

    def prove(self) -> str:
        """Return what the kernel says of its mediation of D-Bus; raise OSError if it has none."""
        return (SECURITYFS / "apparmor/features/dbus/mask").read_text().strip()

    def load(self, number: int) -> None:
        """Load the profiles of a policy in place of earlier ones."""
        data = (self._directory / f"{number}.policy").read_bytes()
        fd = os.open(SECURITYFS / "apparmor/.replace", os.O_WRONLY)
        try:
            assert os.write(fd, data) == len(data)
        finally:
            os.close(fd)

    def text(self, number: int) -> str:
        """Return the source of a policy."""
        return (self._directory / f"{number}.profile").read_text()

    def enter(self, label: str) -> None:
        """Confine this process, for ever."""
        _write_attribute("current", f"changeprofile {label}")

    def execute_as(self, label: str) -> None:
        """Confine what this process executes next."""
        _write_attribute("exec", f"exec {label}")


def _write_attribute(name: str, text: str) -> None:
    fd = os.open(f"/proc/self/attr/apparmor/{name}", os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
