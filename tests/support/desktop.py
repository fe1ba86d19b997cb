"""The policy of a desktop's system bus: that of system.conf, and the additions of some forty services.

The rules are typical of such services: everything to one name, some interfaces, or single members with the
rest denied. Users and groups are given as numbers that every system has.
"""

from __future__ import annotations

from dataclasses import dataclass

from support.rules import PASSING

ROOT = 0
SERVICE_USER = 1  # the user of any service that isn't root's
ADMINISTRATORS = 4
NETWORK_GROUP = 3

STOCK = f"""<policy context="default">
<allow user="*"/>
<deny own="*"/>
<deny send_type="method_call"/>
{PASSING}
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Containers1"/>
<deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"
      send_member="UpdateActivationEnvironment"/>
<deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Debug.Stats"/>
<deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.systemd1.Activator"/>
</policy>
<policy user="root">
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.systemd1.Activator"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
<allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Debug.Stats"/>
</policy>"""

SESSION = """<policy context="default">
<allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/>
<allow own="*"/>
</policy>"""

EVERYTHING = """<policy context="default">
<allow user="*"/>
<allow own="*"/>
<allow send_requested_reply="false"/>
<allow receive_requested_reply="false"/>
</policy>"""

GENERIC = (
    "org.freedesktop.DBus.Introspectable",
    "org.freedesktop.DBus.Peer",
    "org.freedesktop.DBus.Properties",
)


@dataclass(frozen=True)
class Service:
    """The policy file of one package.

    interfaces: those that all users may use; none: all of them. members: "Interface.Member" that all users
    may call although everything else is denied. denied: interfaces for administrators only. group: the group
    that may use everything. agent: an interface by which the service calls its clients.
    """

    name: str
    user: int = ROOT
    interfaces: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    group: int | None = None
    agent: str | None = None
    console: bool = False

    def rules(self) -> list[str]:
        """Return the <policy> elements."""
        to = f'send_destination="{self.name}"'
        owner = [f'<allow own="{self.name}"/>', f"<allow {to}/>"]
        if self.agent:
            owner.append(f'<allow send_interface="{self.agent}"/>')
        found = [_policy(f'user="{self.user}"', owner)]
        if self.members:
            found.append(_policy('context="default"', self._members(to)))
        elif self.interfaces:
            opened = [f'<allow {to} send_interface="{one}"/>' for one in (*GENERIC, *self.interfaces)]
            closed = [f'<deny {to} send_interface="{one}"/>' for one in self.denied]
            found.append(_policy('context="default"', opened + closed))
        else:
            found.append(_policy('context="default"', [f"<allow {to}/>"]))
        if self.group is not None:
            found.append(_policy(f'group="{self.group}"', [f"<allow {to}/>"]))
        if self.console:
            found.append(_policy('at_console="true"', [f"<allow {to}/>"]))
        return found

    def _members(self, to: str) -> list[str]:
        lines = [f"<deny {to}/>", f'<allow receive_sender="{self.name}"/>']
        lines += [f'<allow {to} send_interface="{one}"/>' for one in GENERIC[:2]]
        properties = [f"{GENERIC[2]}.Get", f"{GENERIC[2]}.GetAll"]
        for one in (*properties, *self.members):
            interface, _, member = one.rpartition(".")
            lines.append(f'<allow {to} send_interface="{interface}" send_member="{member}"/>')
        return lines


def _policy(context: str, rules: list[str]) -> str:
    return "\n".join([f"<policy {context}>", *rules, "</policy>"])


def _of(prefix: str, words: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{word}" for word in words.split())


FD = "org.freedesktop"
NM, LOGIN, SYSTEMD = f"{FD}.NetworkManager", f"{FD}.login1", f"{FD}.systemd1"
MACHINE, RESOLVE = f"{FD}.machine1", f"{FD}.resolve1"

SERVICES = (
    Service(
        NM,
        interfaces=(
            NM,
            *_of(NM, "AccessPoint AgentManager Connection.Active Device Device.Bridge Device.Wired"),
            *_of(NM, "Device.Wireless DHCP4Config DHCP6Config IP4Config IP6Config Settings VPN.Connection"),
            *_of(
                NM, "Checkpoint Settings.Connection DnsManager WifiP2PPeer Device.Statistics Device.Generic"
            ),
        ),
        denied=_of(NM, "Device.Modem PPP Settings.System"),
        agent=f"{NM}.SecretAgent",
        group=NETWORK_GROUP,
    ),
    Service(
        LOGIN,
        members=(
            *_of(f"{LOGIN}.Manager", "GetSession GetSessionByPID GetUser GetUserByPID GetSeat ListSessions"),
            *_of(f"{LOGIN}.Manager", "ListUsers ListSeats ListInhibitors Inhibit SetUserLinger FlushDevices"),
            *_of(f"{LOGIN}.Manager", "ActivateSession LockSession LockSessions UnlockSession KillSession"),
            *_of(f"{LOGIN}.Manager", "TerminateSession TerminateUser TerminateSeat AttachDevice PowerOff"),
            *_of(f"{LOGIN}.Manager", "Reboot Suspend Hibernate CanPowerOff CanReboot CanSuspend SetIdle"),
            *_of(f"{LOGIN}.Manager", "SetWallMessage ScheduleShutdown CancelScheduledShutdown CanHalt Halt"),
            *_of(f"{LOGIN}.Session", "Activate Lock Unlock TakeControl ReleaseControl TakeDevice SetType"),
            *_of(f"{LOGIN}.Session", "ReleaseDevice PauseDeviceComplete SetIdleHint SetLockedHint Terminate"),
            *_of(f"{LOGIN}.Seat", "Terminate ActivateSession SwitchTo SwitchToNext SwitchToPrevious"),
            *_of(f"{LOGIN}.User", "Terminate Kill"),
        ),
    ),
    Service(
        SYSTEMD,
        members=(
            *_of(f"{SYSTEMD}.Manager", "GetUnit GetUnitByPID LoadUnit ListUnits ListUnitsFiltered ListJobs"),
            *_of(f"{SYSTEMD}.Manager", "ListUnitFiles GetUnitFileState GetDefaultTarget Subscribe Dump"),
            *_of(f"{SYSTEMD}.Manager", "Unsubscribe GetJob StartUnit StopUnit RestartUnit ReloadUnit Kill"),
            *_of(f"{SYSTEMD}.Manager", "EnableUnitFiles DisableUnitFiles MaskUnitFiles SetProperties"),
            *_of(f"{SYSTEMD}.Manager", "Reload Reexecute ResetFailed GetUnitProcesses ListDependencies"),
            *_of(f"{SYSTEMD}.Unit", "Start Stop Restart Reload TryRestart Kill ResetFailed SetProperties"),
            *_of(f"{SYSTEMD}.Service", "BindMount GetProcesses"),
            *_of(f"{SYSTEMD}.Job", "Cancel GetAfter GetBefore"),
        ),
        agent=f"{SYSTEMD}.Activator",
    ),
    Service(
        MACHINE,
        members=(
            *_of(f"{MACHINE}.Manager", "GetMachine GetImage GetMachineByPID ListMachines ListImages OpenPTY"),
            *_of(f"{MACHINE}.Manager", "GetMachineAddresses GetMachineOSRelease OpenMachineLogin CloneImage"),
            *_of(f"{MACHINE}.Machine", "GetAddresses GetOSRelease OpenLogin OpenShell BindMount CopyTo"),
            *_of(f"{MACHINE}.Image", "Remove Rename Clone MarkReadOnly GetHostname GetOSRelease"),
        ),
    ),
    Service(f"{FD}.PolicyKit1", SERVICE_USER, agent=f"{FD}.PolicyKit1.AuthenticationAgent"),
    Service(
        f"{FD}.UPower",
        interfaces=(f"{FD}.UPower", *_of(f"{FD}.UPower", "Device KbdBacklight")),
    ),
    Service("org.bluez", agent="org.bluez.Agent1", group=ADMINISTRATORS, console=True),
    Service("org.bluez.obex", interfaces=_of("org.bluez.obex", "AgentManager1 Client1 Session1 Transfer1")),
    Service(
        f"{FD}.Avahi",
        SERVICE_USER,
        interfaces=_of(f"{FD}.Avahi", "Server Server2 EntryGroup ServiceBrowser RecordBrowser"),
        denied=_of(f"{FD}.Avahi", "HostName"),
        group=NETWORK_GROUP,
    ),
    Service(
        RESOLVE,
        members=(
            *_of(f"{RESOLVE}.Manager", "ResolveHostname ResolveAddress ResolveRecord ResolveService GetLink"),
            *_of(f"{RESOLVE}.Manager", "RegisterService FlushCaches ResetStatistics SetLinkDNS RevertLink"),
        ),
    ),
    Service(f"{FD}.network1", SERVICE_USER),
    Service(f"{FD}.timesync1", SERVICE_USER),
    Service(f"{FD}.hostname1"),
    Service(f"{FD}.locale1"),
    Service(f"{FD}.timedate1"),
    Service(f"{FD}.home1", members=_of(f"{FD}.home1.Manager", "GetHomeByName ListHomes")),
    Service(f"{FD}.oom1", members=_of(f"{FD}.oom1.Manager", "DumpByFileDescriptor")),
    Service(f"{FD}.ModemManager1", interfaces=_of(f"{FD}.ModemManager1", "Modem Sim Bearer")),
    Service("fi.w1.wpa_supplicant1", group=NETWORK_GROUP),
    Service(f"{FD}.nm_dispatcher"),
    Service(f"{FD}.portable1", members=_of(f"{FD}.portable1.Manager", "GetImage ListImages")),
    Service(f"{FD}.UDisks2"),
    Service(f"{FD}.Accounts", interfaces=_of(f"{FD}.Accounts", "User Manager")),
    Service(f"{FD}.PackageKit", interfaces=_of(f"{FD}.PackageKit", "Transaction Offline")),
    Service(f"{FD}.ColorManager", SERVICE_USER),
    Service(f"{FD}.RealtimeKit1", SERVICE_USER),
    Service(f"{FD}.GeoClue2", SERVICE_USER, agent=f"{FD}.GeoClue2.Agent"),
    Service(f"{FD}.fwupd", interfaces=(f"{FD}.fwupd",)),
    Service(f"{FD}.bolt", interfaces=_of(f"{FD}.bolt1", "Manager Device Domain")),
    Service(f"{FD}.Flatpak.SystemHelper"),
    Service("org.opensuse.CupsPkHelper.Mechanism"),
    Service("com.redhat.NewPrinterNotification", console=True),
    Service("com.redhat.PrinterDriversInstaller", console=True),
    Service("net.hadess.PowerProfiles"),
    Service("net.hadess.SensorProxy", SERVICE_USER),
    Service("net.hadess.SwitcherooControl"),
    Service("org.gnome.DisplayManager", interfaces=_of("org.gnome.DisplayManager", "Manager Factory Seat")),
    Service("net.reactivated.Fprint", console=True),
    Service("org.fedoraproject.FirewallD1", interfaces=_of("org.fedoraproject.FirewallD1", "zone direct")),
    Service("com.ubuntu.SoftwareProperties"),
    Service("org.kernel.iwd", SERVICE_USER, agent="net.connman.iwd.Agent", group=NETWORK_GROUP),
    Service("org.pulseaudio.Server", SERVICE_USER),
)


def system() -> str:
    """Return all <policy> elements of a desktop's system bus: 400 rules."""
    return "\n".join([STOCK, *(line for service in SERVICES for line in service.rules())])
