"""libdbus, through dbus-python."""

from __future__ import annotations

import os

import dbus
import dbus.bus
import dbus.mainloop.glib
import dbus.service
from common import (
    ADDRESS,
    ERROR,
    INTERFACE,
    NUMBERS,
    PATH,
    TEXT,
    check,
    pipe_with,
    read_and_close,
    ready,
    run,
    write_and_close,
)
from gi.repository import GLib

dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)


class Expected(dbus.DBusException):
    _dbus_error_name = ERROR


class Service(dbus.service.Object):
    @dbus.service.method(INTERFACE, in_signature="sai", out_signature="sai")
    def Echo(self, text, numbers):  # type: ignore[no-untyped-def]
        return text, numbers

    @dbus.service.method(INTERFACE, in_signature="", out_signature="")
    def Fail(self):  # type: ignore[no-untyped-def]
        raise Expected(TEXT)

    @dbus.service.method(INTERFACE, in_signature="s", out_signature="")
    def Announce(self, text):  # type: ignore[no-untyped-def]
        self.Announced(text)

    @dbus.service.signal(INTERFACE, signature="s")
    def Announced(self, text):  # type: ignore[no-untyped-def]
        pass

    @dbus.service.method(INTERFACE, in_signature="hs", out_signature="")
    def Write(self, descriptor, text):  # type: ignore[no-untyped-def]
        write_and_close(descriptor.take(), text)

    @dbus.service.method(INTERFACE, in_signature="s", out_signature="h")
    def Open(self, text):  # type: ignore[no-untyped-def]
        read = pipe_with(text)
        found = dbus.types.UnixFd(read)
        os.close(read)
        return found


def service(name: str) -> None:
    loop = GLib.MainLoop()
    bus = dbus.bus.BusConnection(ADDRESS)
    kept = Service(bus, PATH), dbus.service.BusName(name, bus)
    GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, lambda *_: loop.quit())
    ready()
    loop.run()
    del kept


def call(name: str) -> None:
    bus = dbus.bus.BusConnection(ADDRESS)
    peer = dbus.Interface(bus.get_object(name, PATH, introspect=False), INTERFACE)
    text, numbers = peer.Echo(TEXT, dbus.Array(NUMBERS, signature="i"))
    check("Echo", (str(text), [int(one) for one in numbers]), (TEXT, NUMBERS))
    try:
        peer.Fail()
    except dbus.DBusException as error:
        check("Fail", (error.get_dbus_name(), error.get_dbus_message()), (ERROR, TEXT))
    announced: list[str] = []
    bus.add_signal_receiver(lambda text: announced.append(str(text)), "Announced", INTERFACE, name, PATH)
    peer.Announce(TEXT)
    while not announced:
        GLib.MainContext.default().iteration(True)
    check("Announced", announced, [TEXT])
    read, write = os.pipe()
    peer.Write(dbus.types.UnixFd(write), TEXT)
    os.close(write)
    check("Write", read_and_close(read), TEXT)
    check("Open", read_and_close(peer.Open(TEXT).take()), TEXT)


run(service, call)
