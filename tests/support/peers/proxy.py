"""dbus-fast's service classes and proxy objects, both ends in one process."""

from __future__ import annotations

import asyncio
from typing import Any

from common import check
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

NAME, PATH = "org.omnibus.Counter", "/org/omnibus/Counter"


class Counter(ServiceInterface):
    """A number with a method, a property and a signal."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.number = 0

    @dbus_method()
    def Add(self, step: "i") -> "i":  # type: ignore[name-defined]  # noqa: F821, UP037
        self.number += step
        self.Added(step)
        self.emit_properties_changed({"Number": self.number})
        return self.number

    @dbus_signal()
    def Added(self, step: int) -> "i":  # type: ignore[name-defined]  # noqa: F821, UP037
        return step

    @dbus_property()
    def Number(self) -> "i":  # type: ignore[name-defined]  # noqa: F821, UP037
        return self.number

    @Number.setter
    def Number(self, value: "i") -> None:  # type: ignore[name-defined, no-redef]  # noqa: F821, UP037
        self.number = value


async def main() -> None:
    service, client = await MessageBus().connect(), await MessageBus().connect()
    service.export(PATH, Counter())
    await service.request_name(NAME)
    proxy = client.get_proxy_object(NAME, PATH, await client.introspect(NAME, PATH))
    counter: Any = proxy.get_interface(NAME)
    properties: Any = proxy.get_interface("org.freedesktop.DBus.Properties")
    added: asyncio.Queue[int] = asyncio.Queue()
    changed: asyncio.Queue[int] = asyncio.Queue()
    counter.on_added(added.put_nowait)
    properties.on_properties_changed(lambda _, values, __: changed.put_nowait(values["Number"].value))
    check("Add", await counter.call_add(5), 5)
    check("Added", await added.get(), 5)
    check("PropertiesChanged", await changed.get(), 5)
    await counter.set_number(7)
    check("Number", await counter.get_number(), 7)
    service.disconnect()
    client.disconnect()
    print("ok", flush=True)


asyncio.run(main())
