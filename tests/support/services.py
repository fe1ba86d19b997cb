"""Services of a test machine, each of which starts, or fails to start, in a different way."""

from __future__ import annotations

from support.machine import Done, Machine
from support.overlay import Overlay

ECHO = "/usr/bin/dbus-test-tool echo"
DIRECT = "org.example.Direct"  # without a unit
EXITS = "org.example.Exits"  # without a unit: its program fails
KILLED = "org.example.Killed"  # without a unit: its program is killed
ABSENT = "org.example.Absent"  # without a unit, and without a program
UNIT = "org.example.Unit"  # systemd starts it
MISSING = "org.example.Missing"  # there is no such unit
FAILS = "org.example.Fails"  # the unit starts and fails
CONDITION = "org.example.Condition"  # the unit's condition is not met
NAMES = (DIRECT, EXITS, KILLED, ABSENT, UNIT, MISSING, FAILS, CONDITION)
# The commands of those without a unit.
PROGRAMS = {
    DIRECT: ECHO + " --{bus} --name=" + DIRECT,
    EXITS: "/bin/sh -c 'exit 3'",
    KILLED: "/bin/sh -c 'kill -KILL $$'",
    ABSENT: "/nonexistent/program",
}

POLICY = """<busconfig>
  <policy context="default">
    <allow own_prefix="org.example"/>
    <allow send_destination_prefix="org.example"/>
  </policy>
</busconfig>
"""
# The contents of units besides name and bus.
UNITS = {
    UNIT: ("", ECHO + " --{bus} --name=" + UNIT),
    FAILS: ("", "/bin/false"),
    CONDITION: ("ConditionPathExists=/nonexistent", "/bin/false"),
}


def unit_of(name: str) -> str:
    """Return the unit of a service that systemd starts."""
    return f"test-{name.rpartition('.')[2].lower()}.service"


def add_services(overlay: Overlay, user: str) -> None:
    """Write the service files and units for the system bus and for the users' buses."""
    overlay.write("/usr/share/dbus-1/system.d/org.example.conf", POLICY)
    for bus, directory in (("system", "system-services"), ("session", "services")):
        for name in NAMES:
            text = f"[D-BUS Service]\nName={name}\n"
            if name in PROGRAMS:
                text += f"Exec={PROGRAMS[name].format(bus=bus)}\n"
            else:
                text += f"Exec=/bin/false\nSystemdService={unit_of(name)}\n"
            if bus == "system":
                text += f"User={user}\n"
            overlay.write(f"/usr/share/dbus-1/{directory}/{name}.service", text)
        scope = "system" if bus == "system" else "user"
        for name, (section, command) in UNITS.items():
            text = f"[Unit]\n{section}\n[Service]\nType=dbus\nBusName={name}\n"
            text += f"ExecStart={command.format(bus=bus)}\n"
            overlay.write(f"/etc/systemd/{scope}/{unit_of(name)}", text)


def echo(machine: Machine, name: str, bus: str, user: str, status: int = 0) -> Done:
    """Call a test service on a user's bus or, as this user, on the system bus."""
    call = [f"--{bus}", "--print-reply", f"--dest={name}", "/org/example", "org.example.Test.Call"]
    return machine.run("dbus-send", *call, user=user, status=status)


def owner_pid(machine: Machine, name: str, *options: str, user: str = "root") -> int:
    """Return the process that owns a name."""
    call = [
        "call",
        "org.freedesktop.DBus",
        "/",
        "org.freedesktop.DBus",
        "GetConnectionUnixProcessID",
        "s",
        name,
    ]
    return int(machine.output("busctl", *options, *call, user=user).split()[1])


def transient_units(machine: Machine, name: str, *options: str, user: str = "root") -> list[str]:
    """Return the units in which systemd runs, or has run, a service without a unit."""
    listing = ["list-units", "--all", "--plain", "--no-legend", f"dbus-{name}@*"]
    return [
        line.split()[0] for line in machine.output("systemctl", *options, *listing, user=user).splitlines()
    ]
