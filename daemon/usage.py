"""What ``omnibusd --help`` prints. omnibusd(1) has the same options, which a test compares."""

from typing import Final

from .options import USAGE

OPTIONS: Final = (
    (
        "The configuration, one of:",
        ("--system", "that of the system's bus: /usr/share/dbus-1/system.conf and /etc/omnibus/system.conf"),
        ("--session", "that of a session's bus: /usr/share/dbus-1/session.conf, /etc/omnibus/session.conf"),
        ("--config-file=FILE", "this file in place of the one in /usr/share/dbus-1"),
        ("--omnibus-config=FILE", "this file in place of the one in /etc/omnibus; it need not exist"),
    ),
    (
        "Instead of what the configuration says:",
        ("--address=ADDRESS", "listen there; systemd: for the sockets that systemd passes"),
        ("--fork, --nofork", "go on in the background once clients can connect, or do not"),
        ("--nopidfile", "write no pid file"),
        ("--syslog, --nosyslog", "write the log to the system's log as well, or to standard error only"),
        ("--syslog-only", "write the log to the system's log only"),
        ("--systemd-activation", "let systemd start services that name a unit"),
        ("--multicast=auto|off|require", "direct delivery with the kernel's module"),
        ("--standby=auto|on|off", "a process that goes on if the bus is killed"),
        ("--rehearsal-seconds=SECONDS", "how long an upgrade may take to rehearse; 30"),
    ),
    (
        "For the program that starts it:",
        ("--print-address[=DESCRIPTOR]", "print the address, to standard output or this descriptor"),
        ("--print-pid[=DESCRIPTOR]", "print the process id likewise"),
    ),
    (
        "Instead of a start:",
        ("--check", "take all steps of one, change nothing, end with 0, or with 1 and the reason"),
        ("--can-resume", "print the formats of state that this program can go on with"),
        ("--introspect", "print the interfaces of the bus as XML"),
        ("--version", "print the version"),
        ("--help", "print this"),
    ),
)


def explain() -> str:
    """Return the text of --help."""
    lines = ["omnibusd: a D-Bus message bus, with the command line of dbus-daemon(1).", USAGE]
    for title, *options in OPTIONS:
        lines.append(title)
        for option, text in options:
            lines.append(f"  {option:<29} {text}" if len(option) < 30 else f"  {option}\n{'':32}{text}")
        lines.append("")
    lines.append("See omnibusd(1), omnibus.conf(5), and omnibus-switch(8) for which bus a machine uses.")
    return "\n".join(lines) + "\n"
