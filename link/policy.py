"""The policy that a link needs on each bus, as XML and as lines of sysusers.d(5)."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

from .config import Bus, Config, other

DOCTYPE = (
    '<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">'
)


def text(config: Config) -> str:
    """Return a file for each bus, one after the other, with where it belongs."""
    hosts = list(config.bus)
    return "\n".join(
        _of(config.bus[host], host, config.bus[other(hosts, host)], other(hosts, host)) for host in hosts
    )


def _of(bus: Bus, host: str, far: Bus, other_host: str) -> str:
    lines = [
        f"<!-- For the bus {host}: /etc/dbus-1/system.d/omnibus-link-{other_host}.conf -->",
        DOCTYPE,
        "<busconfig>",
        f"  <policy user={quoteattr(str(bus.user))}>",
        *(f"    {rule}" for rule in _rules(bus, far, host, other_host)),
        "  </policy>",
        "</busconfig>",
    ]
    if isinstance(bus.user, str):
        lines += [
            f"<!-- For the users of {host}: /etc/sysusers.d/omnibus-link-{other_host}.conf",
            f'u {bus.user} - "Connections of the D-Bus host {other_host}"',
            "-->",
        ]
    return "\n".join(lines) + "\n"


def _rules(bus: Bus, far: Bus, host: str, other_host: str) -> Iterator[str]:
    """Yield what the other host may call here, and be here."""
    for pattern, one in bus.exports.items():
        if other_host in one.to:
            key = "send_destination_prefix" if pattern.endswith(".*") else "send_destination"
            name = quoteattr(pattern.removesuffix(".*"))
            yield f"<!-- all of its methods; deny what {other_host} is not to do below -->"
            yield f"<allow {key}={name}/>"
    for pattern in bus.imports:
        here = pattern.replace("%h", other_host)
        key = "own_prefix" if here.endswith(".*") else "own"
        yield f"<allow {key}={quoteattr(here.removesuffix('.*'))}/>"
