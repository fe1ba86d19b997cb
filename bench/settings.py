"""The measured configurations, as dbus-daemon's XML and as dbus-broker's quotas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HEAD = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
"""
ALLOW_ALL = """  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
"""
INSTALLED_POLICY = """  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"
          send_member="UpdateActivationEnvironment"/>
    <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Debug.Stats"/>
    <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.systemd1.Activator"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.systemd1.Activator"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Debug.Stats"/>
  </policy>
"""
"""Debian's of the system bus."""
SYSTEM_POLICY = (
    INSTALLED_POLICY
    + """  <policy user="root">
    <allow own="org.busbench.Echo"/>
  </policy>
  <policy context="default">
    <allow send_destination="org.busbench.Echo"/>
  </policy>
"""
)
"""With what the file of a service adds to it, as they are installed."""

WIDE_LIMITS = {
    "max_incoming_bytes": 1000000000,
    "max_outgoing_bytes": 1000000000,
    "max_message_size": 1000000000,
    "max_completed_connections": 100000,
    "max_incomplete_connections": 10000,
    "max_connections_per_user": 100000,
    "max_names_per_connection": 50000,
    "max_match_rules_per_connection": 50000,
    "max_replies_per_connection": 50000,
}
DROP_IN = (
    HEAD
    + """<busconfig>
  <policy user="root">
    <allow own="org.busbench.Service{n}"/>
  </policy>
  <policy context="default">
    <allow send_destination="org.busbench.Service{n}"/>
    <allow send_destination="org.busbench.Service{n}" send_interface="org.freedesktop.DBus.Properties"/>
    <deny send_destination="org.busbench.Service{n}" send_interface="org.busbench.Service{n}.Private"/>
  </policy>
</busconfig>
"""
)

ACTIVATED = """[D-BUS Service]
Name={name}
Exec=/bin/false
User=root
SystemdService=dbus-{name}.service
"""
SERVICE = """[D-BUS Service]
Name=org.busbench.Service{n}
Exec=/bin/false
"""


@dataclass(frozen=True)
class Setting:
    """Limits, policy and files of a configuration.

    ``broker`` holds the nearest quotas of dbus-broker as arguments of its command line: those of its
    launcher for the system bus, or far more. ``elements`` come last, with the bus's
    directory for {directory}. ``files`` are drop-ins with rules, ``services`` service files.
    ``transport`` is ``unix`` or omnibus's own ``unix-seqpacket``.
    ``activatable`` are names that systemd would start: the unit of NAME is dbus-NAME.service.
    """

    name: str
    broker: tuple[str, ...]
    limits: tuple[tuple[str, int], ...] = ()
    policy: str = ALLOW_ALL
    files: int = 0
    type: str = "session"
    elements: str = ""
    services: int = 0
    activatable: tuple[str, ...] = ()
    transport: str = "unix"

    def write(self, directory: Path, socket: Path) -> Path:
        """Write the configuration for a bus at ``socket``; return the file to start with."""
        include = ""
        if self.files:
            drop_ins = directory / "bus.d"
            drop_ins.mkdir(exist_ok=True)
            for n in range(self.files):
                (drop_ins / f"{n}.conf").write_text(DROP_IN.format(n=n))
            include = f"  <includedir>{drop_ins}</includedir>\n"
        if self.services or self.activatable:
            services = directory / "services"
            services.mkdir(exist_ok=True)
            for name in self.activatable:
                (services / f"{name}.service").write_text(ACTIVATED.format(name=name))
            for n in range(self.services):
                (services / f"org.busbench.Service{n}.service").write_text(SERVICE.format(n=n))
            include += f"  <servicedir>{services}</servicedir>\n"
        limits = "".join(f'  <limit name="{name}">{value}</limit>\n' for name, value in self.limits)
        path = directory / "bus.conf"
        path.write_text(
            f"{HEAD}<busconfig>\n  <type>{self.type}</type>\n"
            f"  <listen>{self.transport}:path={socket}</listen>\n"
            f"  <auth>EXTERNAL</auth>\n{self.policy}{include}{limits}"
            f"{self.elements.format(directory=directory)}</busconfig>\n"
        )
        return path


SYSTEM_QUOTAS = ("--max-bytes", "536870912", "--max-fds", "4096", "--max-matches", "131072")
NO_QUOTAS = (
    *("--max-bytes", str(2**31), "--max-objects", str(2**31)),
    *("--max-matches", str(2**31), "--max-fds", "65536"),
)

WIDE = Setting("wide", NO_QUOTAS, tuple(WIDE_LIMITS.items()))
PACKETS = Setting("packets", NO_QUOTAS, tuple(WIDE_LIMITS.items()), transport="unix-seqpacket")
STOCK = Setting("stock", SYSTEM_QUOTAS)
SYSTEM = Setting("system", SYSTEM_QUOTAS, tuple(WIDE_LIMITS.items()), SYSTEM_POLICY, type="system")
MANY_FILES = Setting("300-files", SYSTEM_QUOTAS, files=300)
MANY_SERVICES = Setting("1000-services", NO_QUOTAS, tuple(WIDE_LIMITS.items()), services=1000)
