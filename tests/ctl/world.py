"""A bus with something of everything: the bus of the examples in docs/using/debugging.md.

.venv/bin/python tests/ctl/world.py      prints what the examples show there
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.daemon import Daemon, config, start
from support.raw import DEADLINE, BusError, Client

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/using/debugging.md"
ECHO = "com.example.Echo"
POLICY = """<policy context="default">
  <allow user="*"/>
  <deny own="*"/>
  <deny send_type="method_call"/>
  <allow send_destination="org.freedesktop.DBus"/>
  <allow send_destination="com.example.Slow"/>
  <allow send_destination="com.example.Clock"/>
  <allow send_destination="com.example.Fails"/>
  <allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/>
  <allow receive_type="method_return"/>
  <allow receive_type="error"/>
  <allow receive_type="signal"/>
</policy>
<policy user="root">
  <allow own="com.example.Echo"/>
  <allow own="com.example.Clock"/>
</policy>"""
ECHO_RULES = """<busconfig>
  <policy context="default">
    <allow send_destination="com.example.Echo" send_interface="com.example.Read"/>
    <deny send_destination="com.example.Echo" send_interface="com.example.Read" send_member="Reboot"/>
    <allow send_interface="com.example.Write" send_member="Clear"/>
  </policy>
</busconfig>
"""


class World:
    """The bus and its clients; root only, since services of a system bus have users."""

    def __init__(self, executable: str, directory: Path) -> None:
        self.directory = directory
        self.rules = directory / f"system.d/{ECHO}.conf"
        self.rules.parent.mkdir()
        self.rules.write_text(ECHO_RULES)
        services = directory / "services"
        services.mkdir()
        for name, command in (("Slow", "/bin/sleep 1000"), ("Fails", "/bin/false")):
            text = f"[D-BUS Service]\nName=com.example.{name}\nExec={command}\n"
            (services / f"com.example.{name}.service").write_text(text)
        extra = f"<servicedir>{services}</servicedir><includedir>{self.rules.parent}</includedir>"
        self.daemon: Daemon = start(
            executable, config("unix:path={dir}/bus", type="system", policy=POLICY, extra=extra)
        )
        self.service, self.client = self.daemon.connect(), self.daemon.connect()
        self.act()
        self._ends = threading.Event()
        self._chatter = threading.Thread(target=self._chat)
        self._chatter.start()

    def act(self) -> None:
        self.service.own(ECHO)
        self.service.match("type='signal',interface='com.example.Flood'")
        self.service.match("type='signal'")
        self.client.start_call(ECHO, "Get", interface="com.example.Read")
        self.refused(self.client, ECHO, "Set", "com.example.Write")
        self.client.start_call("com.example.Slow", "Hail", interface="com.example.Read")
        self.refused(self.client, "com.example.Fails", "Hail", "com.example.Read")
        self.flood()

    def flood(self) -> None:
        """Send more than Echo reads, and wait until the bus calls it stalled."""
        for _ in range(40):
            self.client.signal("Long", "ay", bytes(100_000), interface="com.example.Flood")
        end = time.monotonic() + DEADLINE
        stats = "org.freedesktop.DBus.Debug.Stats"
        while not self.client.driver("GetConnectionStats", "s", ECHO, interface=stats)[
            "omnibus.Stalled"
        ].value:
            assert time.monotonic() < end
            time.sleep(0.1)

    @staticmethod
    def refused(client: Client, name: str, member: str, interface: str) -> None:
        try:
            client.reply_to(client.start_call(name, member, interface=interface))
        except BusError:
            return
        raise AssertionError(f"{member} was not refused")

    def _chat(self) -> None:
        """Call Echo and answer, ten times a second, for those that watch."""
        service, client = self.daemon.connect(), self.daemon.connect()
        service.own("com.example.Clock")
        while not self._ends.wait(0.1):
            client.start_call("com.example.Clock", "GetTime", interface="com.example.Read")
            service.reply(service.take(member="GetTime"), "t", 1764504000)
            client.take(type=2)
            client.signal("Tick", interface="com.example.Flood")

    def close(self) -> None:
        self._ends.set()
        self._chatter.join()
        self.daemon.stop()


def commands() -> list[tuple[list[str], int]]:
    """Return the commands of the page, each with the exit status that the page says (0 if none)."""
    found = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("$ omnibusctl"):
            command, _, comment = line[2:].partition("  # exit status ")
            found.append((shlex.split(command)[1:], int(comment or 0)))
    return found


def shown(done: subprocess.CompletedProcess[str], world: World) -> str:
    """Return what a command has printed, with the paths of an installed bus."""
    text = (done.stdout + done.stderr).replace(f"{world.directory}/system.d", "/usr/share/dbus-1/system.d")
    return text.replace(f"{world.daemon.directory}/bus.conf", "/usr/share/dbus-1/system.conf")


def main() -> None:
    """Write the outputs into the page."""
    from tempfile import TemporaryDirectory

    outputs = []
    with TemporaryDirectory(prefix="bus-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        world = World(str(ROOT / ".venv/bin/omnibusd"), directory)
        try:
            for arguments, code in commands():
                command = [str(ROOT / ".venv/bin/omnibusctl"), "--address", world.daemon.address, *arguments]
                done = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
                assert done.returncode == code, done
                outputs.append(shown(done, world))
        finally:
            world.close()
    lines: list[str] = []
    is_output = False
    for line in PAGE.read_text().splitlines():
        is_command = line.startswith("$ omnibusctl")
        is_output = is_output and line != "```" and not is_command
        if not is_output:
            lines.append(line)
        if is_command:
            lines += outputs.pop(0).rstrip("\n").splitlines()
            is_output = True
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
