"""The policy that a link needs on each bus, as XML, and the users, as lines of sysusers.d(5)."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

from . import listeners, message, metadata
from .config import Bus, Config, ConfigError, user_of

DOCTYPE = (
    '<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">'
)


def policy_of(config: Config, host: str) -> str:
    """Return the policy file of a bus; raises ConfigError if there is no such bus."""
    bus, others = _sides(config, host)
    lines = [
        DOCTYPE,
        f"<!-- Link with {', '.join(others)}. Rules to deny single methods go behind those that allow. -->",
        "<busconfig>",
    ]
    for far in others:
        lines += [
            f"  <policy user={quoteattr(str(user_of(bus, far)))}>",
            *(f"    {rule}" for rule in _of_the_other(bus, far)),
            "  </policy>",
        ]
    if bus.imports:
        rules = dict.fromkeys(rule for far in others for rule in _of_clients(bus, far))
        lines += ['  <policy context="default">', *(f"    {rule}" for rule in rules), "  </policy>"]
    return "\n".join([*lines, "</busconfig>", ""])


def users_of(config: Config, host: str) -> str:
    """Return the lines for the users of the others on a bus; raises ConfigError as ``policy_of``."""
    bus, others = _sides(config, host)
    lines = []
    for far in others:
        user = user_of(bus, far)
        if user == "root":
            continue
        name, number = (f"link-{far}", str(user)) if isinstance(user, int) else (user, "-")
        lines.append(f'u {name} {number} "Connections of the D-Bus host {far}"\n')
    return "".join(lines)


def _sides(config: Config, host: str) -> tuple[Bus, list[str]]:
    if host not in config.bus:
        raise ConfigError(f"there is no bus {host!r}")
    return config.bus[host], config.others(host)


def _of_the_other(bus: Bus, far: str) -> Iterator[str]:
    """Yield what the other host may call here, and be here."""
    for pattern, one in bus.exports.items():
        if far in one.to:
            yield f"<allow {_attribute('send_destination', pattern)}/>"
    yield f'<allow send_destination="{message.BUS}" send_interface="{metadata.INTERFACE}"/>'
    imports = list(imports_of(bus, far))
    if imports:
        yield f'<allow send_destination="{message.BUS}" send_interface="{listeners.INTERFACE}"/>'
    for pattern in imports:
        yield f"<allow {_attribute('own', pattern)}/>"


def _of_clients(bus: Bus, far: str) -> Iterator[str]:
    """Yield that all users may call what is imported: what each may do there is up to the other bus."""
    for pattern in imports_of(bus, far):
        yield f"<allow {_attribute('send_destination', pattern)}/>"


def imports_of(bus: Bus, far: str) -> Iterator[str]:
    """Yield which names of a host there are on a bus."""
    for pattern, wanted in bus.imports.items():
        if wanted.from_ in (far, "*"):
            yield pattern.replace("%h", far)


def _attribute(key: str, pattern: str) -> str:
    is_space = pattern.endswith(".*")
    return f"{key}{'_prefix' if is_space else ''}={quoteattr(pattern.removesuffix('.*'))}"
