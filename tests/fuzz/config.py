# SPDX-License-Identifier: MIT
"""The configurations of a fuzzed bus, which depend on seed and episode only."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

PROFILES = ("wide", "tight", "closed")
SERVICES = {
    "Starts": "{program} serve fuzz.service.Starts starts",
    "Dies": "{program} serve fuzz.service.Dies dies",
    "Fails": "/bin/false",
    "Missing": "/nonexistent/program",
    "Sleeps": "{program} serve fuzz.service.Sleeps sleeps",
    "Denied": "/bin/false",
}
OPEN = """<policy context="default">
  <allow user="*"/> <allow own="*"/> <allow send_destination="*"/> <allow eavesdrop="true"/>
</policy>"""
# The usual policy of a session bus, which also allows replies without a pending call.
SESSION = OPEN.replace('send_destination="*"', 'send_destination="*" eavesdrop="true"')
DENIED = '<policy context="mandatory"><deny send_destination="fuzz.service.Denied"/></policy>'
# The policy of a system bus: unprivileged clients may call the bus, and get replies and signals.
CLOSED = """<policy context="default">
  <allow user="*"/> <deny own="*"/> <deny send_type="method_call"/> <allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/> <allow receive_type="method_return"/>
  <allow receive_type="error"/> <allow receive_type="signal"/>
  <allow send_destination="org.freedesktop.DBus"/>
  <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Debug.Stats"/>
</policy>
<policy user="root"> <allow own="*"/> <allow send_destination="*"/> </policy>
<policy context="default"> <allow send_destination="fuzz.service.Starts"/> </policy>"""
WIDE_LIMITS = {
    "max_incoming_bytes": 1000000000,
    "max_incoming_unix_fds": 100000,
    "max_outgoing_bytes": 1000000000,
    "max_outgoing_unix_fds": 100000,
    "max_message_size": 100000000,
    "max_message_unix_fds": 16,
    "max_completed_connections": 10000,
    "max_incomplete_connections": 1000,
    "max_connections_per_user": 10000,
    "max_names_per_connection": 1000,
    "max_match_rules_per_connection": 1000,
    "max_replies_per_connection": 100000,
    "max_pending_service_starts": 1000,
    "service_start_timeout": 700,
    "auth_timeout": 240000,
    "pending_fd_timeout": 150000,
}


@dataclass
class Episode:
    """One run of a bus. ``texts`` are its configurations: the first, and those for reloads."""

    seed: int
    number: int
    profile: str
    texts: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def write(self, directory: Path, program: Path) -> None:
        """Write all files that the bus reads into a directory."""
        services = directory / "services"
        services.mkdir()
        for name, command in SERVICES.items():
            text = f"[D-BUS Service]\nName=fuzz.service.{name}\nExec={command.format(program=program)}\n"
            (services / f"fuzz.service.{name}.service").write_text(text)
        for number, text in enumerate(self.texts):
            (directory / f"conf.{number}").write_text(text.replace("{dir}", str(directory)))
        (directory / "bus.conf").symlink_to("conf.0")
        containers = "on" if self.settings["containers"] == "1" else "off"
        own = f"<omnibusconfig><containers>{containers}</containers></omnibusconfig>\n"
        (directory / "omnibus.conf").write_text(own)


def episode(seed: int, number: int, root: bool, profile: str | None = None) -> Episode:
    """Return the episode of this number; without root all clients have the same uid."""
    dice = random.Random(f"{seed}/{number}")
    made = Episode(seed, number, profile or PROFILES[number % len(PROFILES)])
    limits = WIDE_LIMITS if made.profile == "wide" else _tight(dice, made.profile)
    strays = dice.random() < 0.4
    opened = SESSION if strays else OPEN
    policy = CLOSED if made.profile == "closed" else opened
    made.texts.append(_text(limits, policy))
    if made.profile != "wide":
        made.texts.append(_text(_tight(dice, made.profile), policy))
        made.texts.append(_text(limits, CLOSED if made.profile == "tight" else opened))
    else:
        made.texts.append(_text(limits, policy + "<!-- the same again -->"))
    made.settings = {
        "seed": str(dice.randrange(2**63)),
        "uids": "0,65534,1001,1002" if root else "0",
        "wide": str(int(made.profile == "wide")),
        "fd_timeout": str(int(limits["pending_fd_timeout"] < 10000)),
        "auth_timeout": str(int(limits["auth_timeout"] < 10000)),
        "reply_timeout": str(int("reply_timeout" in limits)),
        "strays": str(int(strays)),
        "services": "1",
        "containers": str(int(number % 4 != 3)),
        "max_fds": str(limits["max_message_unix_fds"]),
        "configurations": str(len(made.texts)),
        "slots": str(dice.choice([8, 16, 32])),
    }
    return made


def _tight(dice: random.Random, profile: str) -> dict[str, int]:
    """Limits that a few clients reach."""
    limits = WIDE_LIMITS | {
        "max_incoming_bytes": 2 ** dice.randint(9, 16),
        "max_incoming_unix_fds": dice.randint(4, 40),
        "max_outgoing_bytes": 2 ** dice.randint(11, 17),
        "max_outgoing_unix_fds": dice.randint(4, 40),
        "max_message_size": 2**23,
        "max_message_unix_fds": dice.randint(2, 8),
        "max_names_per_connection": dice.randint(2, 6),
        "max_match_rules_per_connection": dice.randint(2, 16),
        "max_replies_per_connection": dice.randint(2, 64),
        "max_pending_service_starts": dice.randint(1, 5),
        "max_incomplete_connections": dice.randint(3, 10),
        "auth_timeout": 3000,
    }
    if dice.random() < 0.5:
        limits["max_connections_per_user"] = dice.randint(4, 12)
    if dice.random() < 0.5:
        limits["pending_fd_timeout"] = 1000
    if dice.random() < 0.3:
        limits["reply_timeout"] = 700
    return limits


def _text(limits: dict[str, int], policy: str) -> str:
    lines = "\n".join(f'<limit name="{name}">{value}</limit>' for name, value in limits.items())
    return (
        "<busconfig>\n<type>session</type>\n<auth>EXTERNAL</auth>\n<listen>unix:path={dir}/bus</listen>\n"
        f"<servicedir>{{dir}}/services</servicedir>\n{lines}\n{policy}\n{DENIED}\n</busconfig>\n"
    )
