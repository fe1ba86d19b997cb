"""org.freedesktop.DBus.Properties.

All properties of the bus's own object are constant, so the data plane answers later calls there itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from .. import errors
from ..codec import Variant
from ..errors import DBusError
from .method import Call, Interface, Method, Property, Reply, Signal

if TYPE_CHECKING:
    from ..bus import Bus


def get(bus: Bus, call: Call) -> Reply:
    """Get(s interface, s name) → v."""
    interface, name = call.args
    prop = _property(_interface(bus.driver.at(call.path), interface), name)
    return Reply((Variant(prop.signature, prop.value(bus)),))


def get_all(bus: Bus, call: Call) -> Reply:
    """GetAll(s interface) → a{sv}."""
    (interface,) = call.args
    properties = _interface(bus.driver.at(call.path), interface).properties
    return Reply(({prop.name: Variant(prop.signature, prop.value(bus)) for prop in properties},))


def set_(bus: Bus, call: Call) -> Reply:
    """Set(s interface, s name, v value)."""
    interface, name = call.first_args("ss")
    prop = _property(_interface(bus.driver.at(call.path), interface), name)
    if prop.write is None:
        raise DBusError(errors.PROPERTY_READ_ONLY, f"Property '{interface}.{name}' cannot be set")
    value = call.args[2]
    if value.signature != prop.signature:
        text = f"Property '{interface}.{name}' has the type {prop.signature}, not {value.signature}"
        raise DBusError(errors.INVALID_ARGS, text)
    prop.write(bus, value.value)
    return Reply()


def _interface(interfaces: Iterable[Interface], name: str) -> Interface:
    for interface in interfaces:
        if interface.name == name:
            return interface
    raise DBusError(errors.UNKNOWN_INTERFACE, f'Interface "{name}" not found')


def _property(interface: Interface, name: Any) -> Property:
    for prop in interface.properties:
        if prop.name == name:
            return prop
    raise DBusError(errors.UNKNOWN_PROPERTY, f'Property "{interface.name}.{name}" not found')


PROPERTIES: Final = Interface(
    "org.freedesktop.DBus.Properties",
    (
        Method("Get", "ss", "v", get, any_path=False, constant=True),
        Method("GetAll", "s", "a{sv}", get_all, any_path=False, constant=True),
        Method("Set", "ssv", "", set_, any_path=False),
    ),
    signals=(
        Signal(
            "PropertiesChanged",
            (("interface_name", "s"), ("changed_properties", "a{sv}"), ("invalidated_properties", "as")),
        ),
    ),
    any_path=False,
)
