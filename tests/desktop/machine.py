"""A machine with a desktop: its root in the cache, and what is added to log a fresh account in."""

from __future__ import annotations

import contextlib
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.debian import CACHE, Root, run
from support.guide import CHECKOUT, commands
from support.machine import Machine, run_in, running
from support.overlay import Memory, Overlay

USER = "tester"
HOME = f"/home/{USER}"
BINDS = [f"{CHECKOUT}:/checkout"]
TARGET = "desktop-test.target"
INIT = ("--boot", "--notify-ready=yes", f"systemd.unit={TARGET}")
PACKAGES = Path(__file__).parent / "packages.txt"
STAMP = "etc/omnibus-packages"

FILES = {
    f"/etc/systemd/system/{TARGET}": """[Unit]
Description=What there is before the log-in
Requires=basic.target xvfb.service
Wants=dbus.service systemd-logind.service systemd-user-sessions.service
After=basic.target dbus.service systemd-logind.service systemd-user-sessions.service xvfb.service
AllowIsolate=yes
""",
    # Started once clients can connect.
    "/etc/systemd/system/xvfb.service": """[Service]
ExecStartPre=rm -f /tmp/.X11-unix/X0 /tmp/.X0-lock
ExecStart=/usr/bin/Xvfb :0 -screen 0 1280x800x24 -nolisten tcp -ac
ExecStartPost=sh -c 'until test -S /tmp/.X11-unix/X0; do sleep 0.05; done'
""",
    # As a display manager does it: a PAM session, from which logind makes a session of class user, and the
    # user's systemd with the session bus.
    "/etc/pam.d/desktop-test": """account required pam_permit.so
session required pam_systemd.so
""",
    "/etc/systemd/system/desktop.service": f"""[Service]
User={USER}
PAMName=desktop-test
WorkingDirectory={HOME}
Environment=XDG_SESSION_TYPE=x11 XDG_SESSION_CLASS=user XDG_SESSION_DESKTOP=xfce XDG_CURRENT_DESKTOP=XFCE
Environment=DISPLAY=:0 LANG=C.UTF-8
ExecStart=/usr/local/bin/desktop-session
# The display ends with the session, and with it what still uses it.
ExecStopPost=+systemctl --no-block stop xvfb.service
""",
    "/etc/systemd/logind.conf.d/desktop-test.conf": """[Login]
UserStopDelaySec=0
""",
    # What Xsession does for the bus.
    "/usr/local/bin/desktop-session": """#!/bin/sh
export DBUS_SESSION_BUS_ADDRESS="unix:path=$XDG_RUNTIME_DIR/bus"
dbus-update-activation-environment --systemd --all
exec xfce4-session
""",
}


def suite() -> str:
    """Return this machine's suite, whose Python the wheels are for."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def prepared_root() -> Root:
    """Make the root with the desktop's packages, unless the cache has it."""
    wanted = " ".join(PACKAGES.read_text().split("\n", 1)[1].split())
    root = Root(suite(), CACHE / "desktop" / suite())
    stamp = root.path / STAMP
    if root.path.exists() and (not stamp.exists() or stamp.read_text() != wanted):
        shutil.rmtree(root.path)
    if not root.path.exists():
        print(f"installing a desktop into {root.path}; this takes minutes, once", flush=True)
        root.make("ca-certificates")
        root.share()
        install = "apt-get -qq -o=Dpkg::Use-Pty=0 install --no-install-recommends -y"
        root.enter(
            "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d\n"
            f"apt-get -q update; DEBIAN_FRONTEND=noninteractive {install} {wanted}; apt-get clean"
        )
        stamp.write_text(wanted)
    return root


def _install(overlay: Overlay) -> None:
    """Install omnibus as the guide says, and a fresh account; no bus is chosen yet."""
    for name, text in FILES.items():
        overlay.write(name, text, 0o755 if "/bin/" in name else 0o644)
    overlay.path("/checkout").mkdir()
    # The root has no make, and nothing is booted that would be told of the units.
    run("make", "-s", "-C", CHECKOUT, "install-files", f"DESTDIR={overlay.root}")
    blocks = commands("install") + commands("systemd-users")
    account = f"useradd --create-home --shell /bin/sh {USER}\n"
    overlay.write("/prepare", "set -eu\ncd /checkout\n" + blocks + account)
    run_in(overlay.root, "/bin/sh", "/prepare", binds=BINDS)


def _choose(overlay: Overlay) -> None:
    """Make omnibus the bus of the system, of users and of accessibility tools.

    The last is started by its launcher, by the path /usr/bin/dbus-daemon.
    """
    script = "set -eu\ncd /checkout\n" + commands("systemd-system") + commands("systemd-user")
    script += "mv /usr/bin/dbus-daemon /usr/bin/dbus-daemon.distribution\n"
    script += "ln -s /usr/local/bin/omnibusd /usr/bin/dbus-daemon\n"
    overlay.write("/prepare", script)
    run_in(overlay.root, "/bin/sh", "/prepare", binds=BINDS)


class Machines:
    """Boots machines over one root with omnibus installed; nothing of them remains."""

    def __init__(self, root: Root) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="omnibus-desktop-"))
        self._memory = Memory(self._directory)
        self._root = root
        installed = Overlay(self._directory / "installed", [root.path])
        _install(installed)
        installed.unmount()
        self._installed = installed.upper

    @contextlib.contextmanager
    def boot(self, bus: str) -> Iterator[Machine]:
        """Boot a machine with this bus, ``dbus-daemon`` or ``omnibus``."""
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        overlay = Overlay(directory, [self._installed, self._root.path])
        try:
            if bus == "omnibus":
                _choose(overlay)
            with running(overlay, BINDS, INIT) as machine:
                yield machine
        finally:
            overlay.unmount()
            shutil.rmtree(directory)

    def close(self) -> None:
        """Free the memory."""
        self._memory.unmount()
        self._directory.rmdir()
