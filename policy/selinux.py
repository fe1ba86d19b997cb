"""The state of SELinux for <include>, determined as libselinux does, without loading it."""

from __future__ import annotations

import os

_CONFIG = "/etc/selinux/config"
_DEFAULT_TYPE = "targeted"


def is_enabled(filesystem: str = "/sys/fs/selinux", config: str = _CONFIG) -> bool:
    """Return True if the kernel has loaded a policy and the system is configured for one."""
    return os.path.exists(f"{filesystem}/enforce") and os.path.exists(config)


def policy_root(config: str = _CONFIG) -> str:
    """Return the directory of the system's SELinux policy."""
    name = _DEFAULT_TYPE
    try:
        with open(config, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                key, _, value = line.strip().partition("=")
                if key == "SELINUXTYPE" and value:
                    name = value.strip()
    except OSError:
        pass
    return f"/etc/selinux/{name}"
