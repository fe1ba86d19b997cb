"""Faults of .service files: what keeps a service from its start, from its name or from its clients."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache

from ...daemon.activation.desktop_file import DesktopFileError
from ...daemon.activation.service_file import ServiceFile, load
from ...policy.evaluate import Policy, is_below
from ...policy.principals import user_id
from ...policy.rules import Kind, Rule
from ...policy.settings import ServiceDir, Settings
from ..subjects import identity_of
from .finding import Finding

METHOD_CALL = 1
ROOT = 0
UNIT_DIRS = {
    "system": ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"),
    "user": ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/usr/local/share", "/usr/share"),
}
BUS_NAME = re.compile(r"^BusName\s*=\s*(\S+)", re.MULTILINE)
TYPE = re.compile(r"^Type\s*=\s*(\S+)", re.MULTILINE)
USER = re.compile(r"^User\s*=\s*(\S+)", re.MULTILINE)
DYNAMIC = re.compile(r"^DynamicUser\s*=\s*(yes|true|1|on)", re.MULTILINE | re.IGNORECASE)
ALIASES = re.compile(r"^Alias\s*=\s*(.+)", re.MULTILINE)


def find(settings: Settings, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield the findings about all service files of a configuration."""
    helper = settings.servicehelper is not None
    seen: set[str] = set()
    for directory in settings.service_dirs:
        for path in _files(directory):
            try:
                service = load(path)
            except DesktopFileError as error:
                yield Finding(path, error.line, "S013", error.reason, "no service can be started by it")
                continue
            except OSError as error:
                yield Finding(path, 0, "S013", str(error.strerror), "no service can be started by it")
                continue
            if service.name not in seen:
                seen.add(service.name)
                for text, advice in _faults(service, directory, rules, helper):
                    yield Finding(path, 0, "S013", text, advice)


def _files(directory: ServiceDir) -> list[str]:
    try:
        names = sorted(os.listdir(directory.path))
    except OSError:
        return []
    return [f"{directory.path}/{name}" for name in names if name.endswith(".service")]


def _faults(
    service: ServiceFile, directory: ServiceDir, rules: Sequence[Rule], helper: bool
) -> Iterator[tuple[str, str]]:
    """Yield text and advice. ``helper``: services are those of the system, started as users."""
    if service.path != service.expected_path and (helper or directory.strict_naming):
        yield (
            f"the file of {service.name} has another name",
            f"rename it to {os.path.basename(service.expected_path)}; the launch helper finds no other",
        )
    if service.systemd_service is not None:
        yield from _unit_faults(service, service.systemd_service, "system" if helper else "user")
    if not helper:
        return
    if service.user is None:
        yield "there is no User, so that only systemd can start it", "add User="
    user = _runs_as(service)
    uid = None if user is None else user_id(user)
    if uid is not None and not _may_own(rules, uid, service.name):
        yield (
            f"no rule lets its user {user} own {service.name}",
            f'<policy user="{user}"><allow own="{service.name}"/></policy>',
        )
    if not _is_callable(rules, service.name):
        yield (
            f"no rule lets any user call {service.name}",
            f'<allow send_destination="{service.name}"/> in the <policy> of its clients',
        )


def _runs_as(service: ServiceFile) -> str | None:
    """Return the user of the process that owns the name: that of the unit if there is one; None: unknown."""
    if service.systemd_service is None:
        return service.user
    text = _unit(service.systemd_service, "system")
    if text is None or DYNAMIC.search(text):
        return None
    user = USER.search(text)
    return user[1] if user else "root"


def _may_own(rules: Sequence[Rule], uid: int, name: str) -> bool:
    """Return False if a process of this user can't get the name; root's can become any other user."""
    if uid == ROOT:
        owning = (rule for rule in rules if rule.kind == Kind.OWN and rule.allow)
        return any(_is_about(rule, name) for rule in owning)
    return bool(Policy(rules).for_identity(identity_of(uid)).can_own(name))


def _is_about(rule: Rule, name: str) -> bool:
    if rule.destination is None:
        return True
    return is_below(name, rule.destination) if rule.prefix else rule.destination == name


def _is_callable(rules: Sequence[Rule], name: str) -> bool:
    """Return False only if there is no rule at all that could allow a call."""
    return any(
        rule.allow
        and rule.kind == Kind.SEND
        and rule.message_type in (0, METHOD_CALL)
        and rule.broadcast is not True
        and _is_about(rule, name)
        for rule in rules
    )


def _unit_faults(service: ServiceFile, unit: str, scope: str) -> Iterator[tuple[str, str]]:
    text = _unit(unit, scope)
    if text is None:
        if unit not in _aliases(scope):
            yield f"there is no unit {unit}", "install it, or remove SystemdService="
        return
    kind, name = TYPE.search(text), BUS_NAME.search(text)
    if name is not None and name[1] != service.name:
        return  # a unit may own several names, and tells systemd of one
    if kind is not None and kind[1] == "dbus" and name is None:
        yield f"the unit {unit} has Type=dbus and no BusName", f"add BusName={service.name} to it"


def _unit(name: str, scope: str) -> str | None:
    """Return the text of a unit; None: there is none."""
    template = re.sub(r"@.*(?=\.[a-z]+$)", "@", name)
    for base in UNIT_DIRS[scope]:
        for one in (name, template):
            try:
                with open(f"{base}/systemd/{scope}/{one}", encoding="utf-8", errors="replace") as stream:
                    return stream.read()
            except OSError:
                continue
    return None


@cache
def _aliases(scope: str) -> frozenset[str]:
    """Return the names that units get when they are enabled."""
    found: set[str] = set()
    for base in UNIT_DIRS[scope]:
        directory = f"{base}/systemd/{scope}"
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            text = _unit(name, scope) if name.endswith((".service", ".socket")) else None
            for aliases in ALIASES.findall(text or ""):
                found |= set(aliases.split())
    return frozenset(found)
