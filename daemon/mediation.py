"""The security modules of the kernel that mediate the bus: AppArmor and SELinux.

Which they are is decided once, at the start, as in the reference. The data plane asks them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ..policy import selinux
from ..policy.settings import Settings
from ..transport.relay import MediationError, Module, Texts
from .daemonize import ProcessError

if TYPE_CHECKING:
    from ..transport.relay import Relay
    from .logging import Log

_ENABLED: Final = "/sys/module/apparmor/parameters/enabled"
_MASK: Final = "/sys/kernel/security/apparmor/features/dbus/mask"


def apparmor_mediates(enabled: str = _ENABLED, mask: str = _MASK) -> bool:
    """Return whether AppArmor is on and has rules for D-Bus.

    The files are opened: AppArmor does not mediate stat(2), and in a container whose profile forbids to read
    them the bus is not to mediate.
    """
    try:
        with open(enabled, "rb") as file:
            if file.read(1) != b"Y":
                return False
        os.close(os.open(mask, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def find_modules(settings: Settings) -> Module:
    """Return the modules that are to mediate a bus; raises ProcessError if a required one can't."""
    modules = Module(0)
    if selinux.is_enabled():
        modules |= Module.SELinux
    if settings.apparmor == "disabled":
        return modules
    if apparmor_mediates():
        modules |= Module.AppArmor
    elif settings.apparmor == "required":
        raise ProcessError("AppArmor mediation required but not present")
    return modules


def begin(relay: Relay, modules: Module, settings: Settings, log: Log) -> None:
    """Let the modules mediate, unless they do already; raises ProcessError.

    A module whose library is not installed does not mediate, as with a reference built without it: the log
    says so, unless it is required.
    """
    if not modules or relay.mediated:
        return
    try:
        relay.mediate(modules, settings.bus_type)
    except MediationError as error:
        if not error.missing or (Module.AppArmor in modules and settings.apparmor == "required"):
            raise ProcessError(str(error)) from error
        log.warning(f"{describe(modules)} does not mediate this bus: {error}")
        return
    log.info(f"{describe(modules)} D-Bus mediation is enabled")  # the reference's words
    set_contexts(relay, settings)


def set_contexts(relay: Relay, settings: Settings) -> None:
    """Tell SELinux's contexts of names."""
    if relay.mediated:
        relay.set_texts(Texts.CONTEXTS, dict(settings.selinux))


def describe(modules: Module) -> str:
    """Return the names of modules, for people."""
    return " and ".join(name for module in modules if (name := module.name))
