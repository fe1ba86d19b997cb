"""org.freedesktop.DBus.Introspectable: the driver's interfaces as XML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..signature import complete_types
from .method import Call, Interface, Method, Reply

if TYPE_CHECKING:
    from ..bus import Bus

DOCTYPE: Final = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    '"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n'
)
CONSTANT: Final = '<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>'
SILENT: Final = '<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="false"/>'
CHILDREN: Final = {"/": "org/freedesktop/DBus", "/org": "freedesktop/DBus", "/org/freedesktop": "DBus"}


def describe(interfaces: Iterable[Interface], path: str) -> str:
    """Return the XML of the object at ``path``, which has these interfaces."""
    lines = ["<node>"]
    for interface in interfaces:
        lines += _interface(interface)
    if path in CHILDREN:
        lines.append(f'  <node name="{CHILDREN[path]}"/>')
    lines.append("</node>\n")
    return DOCTYPE + "\n".join(lines)


def _interface(interface: Interface) -> list[str]:
    lines = [f'  <interface name="{interface.name}">']
    for method in interface.methods:
        lines.append(f'    <method name="{method.name}">')
        lines += [f'      <arg direction="in" type="{t}"/>' for t in complete_types(method.inputs)]
        lines += [f'      <arg direction="out" type="{t}"/>' for t in complete_types(method.outputs)]
        lines.append("    </method>")
    for prop in interface.properties:
        access = "read" if prop.write is None else "readwrite"
        lines.append(f'    <property name="{prop.name}" type="{prop.signature}" access="{access}">')
        lines += [f"      {CONSTANT if prop.write is None else SILENT}", "    </property>"]
    for signal in interface.signals:
        lines.append(f'    <signal name="{signal.name}">')
        for name, kind in signal.args:
            named = f' name="{name}"' if name else ""
            lines.append(f'      <arg type="{kind}"{named}/>')
        lines.append("    </signal>")
    lines.append("  </interface>")
    return lines


def introspect(bus: Bus, call: Call) -> Reply:
    """Introspect() → s."""
    return Reply((describe(bus.driver.at(call.path), call.path),))


INTROSPECTABLE: Final = Interface(
    "org.freedesktop.DBus.Introspectable", (Method("Introspect", "", "s", introspect, constant=True),)
)
