"""The policy that a link needs on each bus, as XML, and the users, as lines of sysusers.d(5)."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

from .config import Bus, Config, ConfigError, other

DOCTYPE = (
    '<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">'
)


def policy_of(config: Config, host: str) -> str:
    """Return the policy file of a bus; raises ConfigError if there is no such bus."""
    bus, far = _sides(config, host)
    lines = [
        DOCTYPE,
        f"<!-- Link with {far}. Rules to deny single methods go behind those that allow. -->",
        "<busconfig>",
        f"  <policy user={quoteattr(str(bus.user))}>",
        *(f"    {rule}" for rule in _of_the_other(bus, far)),
        "  </policy>",
    ]
    if bus.imports:
        lines += [
            '  <policy context="default">',
            *(f"    {rule}" for rule in _of_clients(bus, far)),
            "  </policy>",
        ]
    return "\n".join([*lines, "</busconfig>", ""])


def users_of(config: Config, host: str) -> str:
    """Return the line for the user of the other bus on a bus; raises ConfigError as ``policy_of``."""
    bus, far = _sides(config, host)
    name, number = (f"link-{far}", str(bus.user)) if isinstance(bus.user, int) else (bus.user, "-")
    return f'u {name} {number} "Connections of the D-Bus host {far}"\n'


def _sides(config: Config, host: str) -> tuple[Bus, str]:
    if host not in config.bus:
        raise ConfigError(f"there is no bus {host!r}")
    return config.bus[host], other(list(config.bus), host)


def _of_the_other(bus: Bus, far: str) -> Iterator[str]:
    """Yield what the other host may call here, and be here."""
    for pattern, one in bus.exports.items():
        if far in one.to:
            yield f"<allow {_attribute('send_destination', pattern)}/>"
    for pattern in bus.imports:
        yield f"<allow {_attribute('own', pattern.replace('%h', far))}/>"


def _of_clients(bus: Bus, far: str) -> Iterator[str]:
    """Yield that all users may call what is imported: what each may do there is up to the other bus."""
    for pattern in bus.imports:
        yield f"<allow {_attribute('send_destination', pattern.replace('%h', far))}/>"


def _attribute(key: str, pattern: str) -> str:
    is_space = pattern.endswith(".*")
    return f"{key}{'_prefix' if is_space else ''}={quoteattr(pattern.removesuffix('.*'))}"
