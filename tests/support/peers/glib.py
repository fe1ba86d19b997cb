"""GLib's GDBus, through PyGObject."""

from __future__ import annotations

import os
from typing import Any

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
from gi.repository import Gio, GLib

XML = f"""<node><interface name="{INTERFACE}">
<method name="Echo"><arg type="s" direction="in"/><arg type="ai" direction="in"/>
  <arg type="s" direction="out"/><arg type="ai" direction="out"/></method>
<method name="Fail"/>
<method name="Announce"><arg type="s" direction="in"/></method>
<method name="Write"><arg type="h" direction="in"/><arg type="s" direction="in"/></method>
<method name="Open"><arg type="s" direction="in"/><arg type="h" direction="out"/></method>
<signal name="Announced"><arg type="s"/></signal>
</interface></node>"""


def connect() -> Any:
    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    return Gio.DBusConnection.new_for_address_sync(ADDRESS, flags, None, None)


def handle(
    connection: Any, sender: str, path: str, interface: str, method: str, args: Any, invocation: Any
) -> None:
    values = args.unpack()
    if method == "Echo":
        invocation.return_value(args)
    elif method == "Fail":
        invocation.return_dbus_error(ERROR, TEXT)
    elif method == "Announce":
        connection.emit_signal(None, PATH, INTERFACE, "Announced", args)
        invocation.return_value(None)
    elif method == "Write":
        write_and_close(invocation.get_message().get_unix_fd_list().get(values[0]), values[1])
        invocation.return_value(None)
    elif method == "Open":
        fds = Gio.UnixFDList.new()
        fds.append(descriptor := pipe_with(values[0]))
        os.close(descriptor)
        invocation.return_value_with_unix_fd_list(GLib.Variant("(h)", (0,)), fds)


def service(name: str) -> None:
    loop = GLib.MainLoop()
    connection = connect()
    connection.register_object(PATH, Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0], handle, None, None)
    Gio.bus_own_name_on_connection(connection, name, 0, lambda *_: ready(), None)
    GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, lambda *_: loop.quit())
    loop.run()


def call(name: str) -> None:
    connection = connect()

    def ask(method: str, args: Any, fds: Any = None) -> tuple[Any, Any]:
        reply, found = connection.call_with_unix_fd_list_sync(
            name, PATH, INTERFACE, method, args, None, Gio.DBusCallFlags.NONE, 20000, fds, None
        )
        return reply.unpack(), found

    check("Echo", ask("Echo", GLib.Variant("(sai)", (TEXT, NUMBERS)))[0], (TEXT, NUMBERS))
    try:
        ask("Fail", None)
    except GLib.Error as error:
        check("Fail", Gio.DBusError.get_remote_error(error), ERROR)
        check("Fail", error.message, f"GDBus.Error:{ERROR}: {TEXT}")
    announced: list[str] = []
    connection.signal_subscribe(
        name, INTERFACE, "Announced", PATH, None, 0, lambda *args: announced.append(args[5].unpack()[0])
    )
    ask("Announce", GLib.Variant("(s)", (TEXT,)))
    while not announced:
        GLib.MainContext.default().iteration(True)
    check("Announced", announced, [TEXT])
    read, write = os.pipe()
    fds = Gio.UnixFDList.new()
    fds.append(write)
    os.close(write)
    ask("Write", GLib.Variant("(hs)", (0, TEXT)), fds)
    check("Write", read_and_close(read), TEXT)
    (index,), found = ask("Open", GLib.Variant("(s)", (TEXT,)))
    check("Open", read_and_close(found.get(index)), TEXT)


run(service, call)
