"""Random SELinux policies, compiled before the guest boots, and what a guest does with them.

They have the class dbus and a few types, and allow all that they don't know: nothing but D-Bus is confined,
and no file needs a label.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

from .values import ALL, LABELS, MUTE, NAMES, NO_NAMES, SWITCHED

SELINUXFS = Path("/sys/fs/selinux")
INITIAL = (
    *("kernel", "security", "unlabeled", "fs", "file"),
    *("file_labels", "init", "any_socket", "port", "netif"),
    *("netmsg", "node", "igmp_packet", "icmp_socket", "tcp_socket"),
    *("sysctl_modprobe", "sysctl", "sysctl_fs", "sysctl_kernel", "sysctl_net"),
    *("sysctl_net_unix", "sysctl_vm", "sysctl_dev", "kmod", "policy"),
    *("scmp_packet", "devnull"),
)
"""Initial SIDs, in the kernel's order."""
SERVICES = ("service", "other")
"""Types of names, by <associate>."""
TYPES = ("kernel", *LABELS, *SERVICES)
"""The bus has the kernel's type, which is that of the first process and its children."""
TALK = f"allow {LABELS[0]}_t {LABELS[1]}_t:dbus send_msg;"


def context(type: str) -> str:
    """Return the context of a type."""
    return f"any_u:any_r:{type}_t"


def _rules(random: Random, number: int) -> list[str]:
    everything = number in (ALL, MUTE, SWITCHED)
    rules = [f"allow kernel_t {target}_t:dbus {{ send_msg acquire_svc }};" for target in TYPES]
    for source in LABELS:
        for target in TYPES:
            if number == NO_NAMES:
                rules.append(f"allow {source}_t {target}_t:dbus send_msg;")
                continue
            for permission in ("send_msg", "acquire_svc"):
                rules += _rule(random, f"{source}_t {target}_t:dbus {permission};", everything)
        if number > 0 and random.random() < 0.06:
            rules.append(f"permissive {source}_t;")
    if number in (MUTE, SWITCHED):
        rules.remove(TALK)
    return rules


def _deliveries(random: Random, number: int) -> list[str]:
    """What the kernel is asked when a message goes from one socket to another."""
    types = ("kernel", *LABELS)
    pairs = [(source, target) for source in types for target in types]
    return [
        f"allow {source}_t {target}_t:unix_stream_socket sendto;"
        for source, target in pairs
        if number <= 0 or random.random() < 0.8
    ]


def _rule(random: Random, what: str, everything: bool) -> list[str]:
    rules = [f"allow {what}"] if everything or random.random() < 0.42 else []
    # the policy has to say of some denials, and of some messages that pass, whether they are recorded
    if not everything and random.random() < 0.1:
        rules.append(f"{random.choice(['auditallow', 'dontaudit'])} {what}")
    return rules


def _policy(random: Random, number: int) -> str:
    lines = ["class process", "class dbus", "class unix_stream_socket", *(f"sid {name}" for name in INITIAL)]
    # the kernel wants to know these of processes
    lines += ["class process { transition dyntransition }", "class dbus { acquire_svc send_msg }"]
    lines += ["class unix_stream_socket { sendto }"]
    lines += [f"type {name}_t;" for name in TYPES]
    lines += sorted(_rules(random, number), key=lambda rule: rule.startswith("permissive"))
    lines += _deliveries(random, number)
    if number == SWITCHED:
        lines += ["bool talks true;", f"if (talks) {{ {TALK} }}"]
    lines.append("allow kernel_t kernel_t:process { transition dyntransition };")
    lines += ["role any_r;", f"role any_r types {{ {' '.join(f'{name}_t' for name in TYPES)} }};"]
    lines += ["user any_u roles any_r;", *(f"sid {name} {context('kernel')}" for name in INITIAL)]
    return "\n".join(lines) + "\n"


def write_policies(seed: int, count: int, directory: Path) -> None:
    """Compile the policies that are not random, and ``count`` random ones."""
    random = Random(seed)
    for number in (SWITCHED, MUTE, NO_NAMES, ALL, *range(1, count + 1)):
        source = directory / f"{number}.conf"
        source.write_text(_policy(random, number))
        command = ["checkpolicy", "-U", "allow", "-c", "31", "-o", directory / f"{number}.policy", source]
        subprocess.run(command, check=True, capture_output=True)


class SELinux:
    """The module in the guest."""

    name = "SELinux"
    reloads = True
    direct = True
    configuration = (
        "<selinux>"
        + "".join(
            f'<associate own="{name}" context="{context(type)}"/>'
            for name, type in zip(NAMES, SERVICES, strict=False)
        )
        + "</selinux>"
    )

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if not (SELINUXFS / "enforce").exists():
            subprocess.run(["mount", "-t", "selinuxfs", "selinuxfs", SELINUXFS], check=True)
        Path("/etc/selinux").mkdir(exist_ok=True)
        Path("/etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=tiny\n")

    def prove(self) -> str:
        """Enforce, and return the version of policies that the kernel takes."""
        self.load(0)
        (SELINUXFS / "enforce").write_text("1")
        return (SELINUXFS / "policyvers").read_text().strip()

    def load(self, number: int) -> None:
        """Load a policy in place of the earlier one."""
        data = (self._directory / f"{number}.policy").read_bytes()
        fd = os.open(SELINUXFS / "load", os.O_RDWR)
        try:
            assert os.write(fd, data) == len(data)
        finally:
            os.close(fd)

    def text(self, number: int) -> str:
        """Return the source of a policy."""
        return (self._directory / f"{number}.conf").read_text()

    def enter(self, label: str) -> None:
        """Let the sockets that this process makes have a type."""
        fd = os.open("/proc/self/attr/sockcreate", os.O_WRONLY)
        os.write(fd, context(label).encode())
        os.close(fd)
