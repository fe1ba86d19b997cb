"""What <include> asks of SELinux, as libselinux answers it, without loading libselinux."""

from __future__ import annotations

import os

_CONFIG = "/etc/selinux/config"
_DEFAULT_TYPE = "targeted"


def is_enabled(filesystem: str = "/sys/fs/selinux", config: str = _CONFIG) -> bool:
    """Return True if the kernel has a policy loaded and the system is set up for one."""
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
