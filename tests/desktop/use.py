"""What is done with a desktop: a log-in, one thing with each kind of program, and a log-out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from desktop.machine import HOME, USER

from support.machine import Machine, wait_until

DEADLINE = 90.0  # seconds for each step
TEXT = "typed into an editor"
NOTE = f"{HOME}/note.txt"
PLAYER = "mpv"
SHOT = f"{HOME}/desktop.png"


class Desktop:
    """The desktop of a fresh account on a booted machine. Each step raises AssertionError if it fails.

    ``times`` has the seconds that each step took.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.times: dict[str, float] = {}

    def step(self, name: str, action: Callable[[], None]) -> None:
        """Do something, and take the time."""
        begin = time.monotonic()
        action()
        self.times[name] = time.monotonic() - begin

    def user(self, *arguments: str, status: int | None = 0) -> str:
        """Run a program as the user, on the user's display and bus; return its output."""
        command = ("env", "DISPLAY=:0", *arguments)
        return self.machine.run(*command, user=USER, status=status).stdout.strip()

    def start(self, *arguments: str) -> None:
        """Start a program in the user's session."""
        unit = f"--unit=desktop-test-{arguments[0]}"
        self.user("systemd-run", "--user", "--quiet", "--collect", unit, "--setenv=DISPLAY=:0", *arguments)

    def windows(self, text: str = ".") -> list[str]:
        """Return the visible windows whose name or class matches."""
        command = ("xdotool", "search", "--onlyvisible", "--all")
        found = [self.user(*command, how, text, status=None).split() for how in ("--name", "--class")]
        return sorted({*found[0], *found[1]})

    def wait_for_window(self, text: str) -> str:
        return str(wait_until(lambda: self.windows(text), f"a window {text}", DEADLINE)[0])

    def call(self, name: str, path: str, method: str, *arguments: str) -> str:
        """Call a method on the session bus; return the reply."""
        where = ("--session", "--dest", name, "--object-path", path, "--method", method)
        return self.user("gdbus", "call", *where, "--", *arguments)

    # The steps.

    def log_in(self) -> None:
        """Until the windows that every session has are there."""
        self.machine.run("systemctl", "start", "desktop.service")
        for window in ("^xfce4-panel$", "^Desktop$", "^xfwm4$|^Xfwm4$"):
            self.wait_for_window(window)

    def notify(self) -> None:
        """The notification is shown by a service that the bus may have to start."""
        begin = set(self.windows("[nN]otifyd"))
        number = self.user(
            "notify-send", "--print-id", "--expire-time=60000", "A notification", "of the test"
        )
        assert int(number) > 0
        wait_until(lambda: set(self.windows("[nN]otifyd")) - begin, "the notification", DEADLINE)

    def manage_files(self) -> None:
        """The file manager shows the home directory, asked by any program over the bus."""
        name = "org.freedesktop.FileManager1"
        self.call(name, "/org/freedesktop/FileManager1", f"{name}.ShowFolders", f"['file://{HOME}']", "")
        self.wait_for_window(f"{USER} - Thunar")

    def ask_portal(self) -> None:
        """The portal and its implementation are two services; settings come from both."""
        interface = "org.freedesktop.portal.Settings"
        path = "/org/freedesktop/portal/desktop"
        reply = self.call("org.freedesktop.portal.Desktop", path, f"{interface}.ReadAll", "['*']")
        assert "org.gnome.desktop.interface" in reply, reply

    def edit(self) -> None:
        """A text is typed into an editor and saved."""
        self.start("mousepad", NOTE)
        window = self.wait_for_window("note.txt.*Mousepad")
        # --sync would wait for this very window, and a toolkit gives the focus to one of its own.
        self.user("xdotool", "windowfocus", window)
        focused = ("xdotool", "getwindowfocus", "getwindowname")
        wait_until(lambda: "Mousepad" in self.user(*focused), "the editor's focus", DEADLINE)
        self.user("xdotool", "type", "--delay", "20", TEXT)
        self.user("xdotool", "key", "ctrl+s")
        note = self.machine.overlay.path(NOTE)
        wait_until(lambda: note.exists() and note.read_text().strip() == TEXT, "the saved text", DEADLINE)

    def play(self) -> None:
        """A media player is paused and continued by its key, which the desktop binds to a program."""
        key = "/commands/custom/XF86AudioPlay"
        binding = ("-c", "xfce4-keyboard-shortcuts", "-p", key, "--create", "-t", "string")
        self.user("xfconf-query", *binding, "-s", "playerctl play-pause")
        picture = "av://lavfi:testsrc=size=320x240:rate=5"
        self.start("mpv", "--really-quiet", "--ao=null", "--vo=x11", "--geometry=320x240-20-80", picture)
        self.wait_for_window("^mpv$")
        self._wait_for_player("Playing")
        for status in ("Paused", "Playing", "Paused"):
            self.user("xdotool", "key", "XF86AudioPlay")
            self._wait_for_player(status)

    def _wait_for_player(self, status: str) -> None:
        ask = ("playerctl", f"--player={PLAYER}", "status")
        wait_until(lambda: self.user(*ask, status=None) == status, f"a player that is {status}", DEADLINE)

    def photograph(self, target: Path) -> None:
        """Store a screenshot."""
        self.user("scrot", "--overwrite", SHOT)
        target.write_bytes(self.machine.overlay.path(SHOT).read_bytes())

    def log_out(self) -> None:
        """Until neither the session nor the user's systemd and bus are left."""
        method = "org.xfce.Session.Manager.Logout"
        self.call("org.xfce.SessionManager", "/org/xfce/SessionManager", method, "false", "false")
        uid = self.machine.uid(USER)

        def over() -> bool:
            units = ("desktop.service", f"user@{uid}.service")
            return all(self.machine.property(one, "ActiveState") in ("inactive", "failed") for one in units)

        wait_until(over, "the end of the session", DEADLINE)
