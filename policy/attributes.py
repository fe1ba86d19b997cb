"""The values of a configuration file.

This module and its importers are loaded only where files are read, never in the daemon.
Errors are in dbus-daemon's words.
"""

from __future__ import annotations

import re

from .model import Model, Refusal, checked, text
from .rules import MESSAGE_TYPES, NO_MAXIMUM
from .settings import Limits

# The largest message can hold no more.
MAX_MESSAGE_FDS = 0x2000000
_INT_MAX = 2**31 - 1
_LONG_MAX = 2**63 - 1

# Limits that dbus-daemon keeps in a long; the others must fit an int.
_LONG_LIMITS = frozenset(
    {f"max_{way}_{what}" for way in ("incoming", "outgoing") for what in ("bytes", "unix_fds")}
    | {"max_message_size", "max_message_unix_fds"}
)
_LIMITS = frozenset(Limits.fields)

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))")


def parse_long(text: str) -> int | None:
    """Return the number at the beginning of the text, or None; the rest of the text is ignored.

    As C's strtol with base 0, which dbus-daemon uses: 0x10 is 16 and 010 is 8.
    """
    match = _NUMBER.match(text)
    if match is None:
        return None
    sign, hexadecimal, octal, decimal = match.groups()
    digits, base = (hexadecimal, 16) if hexadecimal else (decimal, 10) if decimal else (octal or "0", 8)
    number = int(sign + digits, base)
    return number if -_LONG_MAX - 1 <= number <= _LONG_MAX else None


def _yes_or_no(name: str, value: str) -> bool:
    if value not in ("yes", "no"):
        raise Refusal(f'{name} attribute must have value "yes" or "no"')
    return value == "yes"


def _true_or_false(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise Refusal(f'Bad value "{value}" for {name} attribute, must be true or false')
    return value == "true"


def _message_type(name: str, value: str) -> int:
    if value == "*":
        return 0
    if value not in MESSAGE_TYPES:
        raise Refusal(f'Bad message type "{value}"')
    return MESSAGE_TYPES[value]


def _fd_count(name: str, value: str) -> int:
    count = parse_long(value)
    if count is None or not 0 <= count <= MAX_MESSAGE_FDS:
        allowed = f"an integer in range 0 to {MAX_MESSAGE_FDS} inclusive"
        raise Refusal(f'Bad value "{value}" for {name} attribute, must be {allowed}')
    return count


class Include(Model):
    """<include>: the attributes, with their defaults."""

    ignore_missing: bool = checked(_yes_or_no, False)
    if_selinux_enabled: bool = checked(_yes_or_no, False)
    selinux_root_relative: bool = checked(_yes_or_no, False)


class Limit(Model):
    """<limit>: the name, and the number at the beginning of the text."""

    name: str | None = text()
    value: int | None = checked(lambda name, value: parse_long(value))

    def check(self) -> None:
        """Check the name of the limit and the range of the number."""
        name, value = self.name, self.value
        if name is None:
            raise Refusal('<limit> element must have a "name" attribute')
        if value is None:
            raise Refusal(f'<limit name="{name}"> element has invalid value (could not parse as integer)')
        if name not in _LIMITS:
            raise Refusal(f'There is no limit called "{name}"')
        if value < 0:
            raise Refusal(f'<limit name="{name}"> must be a positive number')
        if value > _INT_MAX and name not in _LONG_LIMITS:
            raise Refusal(f'<limit name="{name}"> value is too large')


class Policy(Model):
    """<policy>: the attribute that selects the connections to which it applies."""

    context: str | None = text()
    user: str | None = text()
    group: str | None = text()
    at_console: str | None = text()

    def check(self) -> None:
        """Check that there is exactly one such attribute, with a valid value."""
        if len(self.given) != 1:
            raise Refusal(
                "<policy> element must have exactly one of (context|user|group|at_console) attributes"
            )
        if self.context not in (None, "default", "mandatory"):
            raise Refusal(
                'context attribute on <policy> must have the value "default" or "mandatory", '
                f'not "{self.context}"'
            )
        if self.at_console not in (None, "true", "false"):
            value = self.at_console
            raise Refusal(f'Unknown value "{value}" for at_console in message bus configuration file')


class Associate(Model):
    """<associate>: the SELinux context of a bus name."""

    own: str | None = text()
    context: str | None = text()

    def check(self) -> None:
        """Check that both are given."""
        if self.own is None or self.context is None:
            raise Refusal(
                'Element <associate> must have attributes own="<servicename>" and context="<selinux context>"'
            )


def _mode(name: str, value: str) -> str:
    if value not in ("required", "enabled", "disabled"):
        raise Refusal(
            f'Mode attribute on <apparmor> must have value "required", "enabled" or "disabled", not "{value}"'
        )
    return value


class AppArmor(Model):
    """<apparmor>: the mode, or None."""

    mode: str | None = checked(_mode)


class RuleAttributes(Model):
    """<allow> and <deny>: the attributes as given, and their valid combinations."""

    element: str = text()
    send_interface: str | None = text()
    send_member: str | None = text()
    send_error: str | None = text()
    send_destination: str | None = text()
    send_destination_prefix: str | None = text()
    send_path: str | None = text()
    send_type: int = checked(_message_type, 0)
    send_broadcast: bool | None = checked(_true_or_false)
    send_requested_reply: bool | None = checked(_true_or_false)
    receive_interface: str | None = text()
    receive_member: str | None = text()
    receive_error: str | None = text()
    receive_sender: str | None = text()
    receive_path: str | None = text()
    receive_type: int = checked(_message_type, 0)
    receive_requested_reply: bool | None = checked(_true_or_false)
    eavesdrop: bool = checked(_true_or_false, False)
    min_fds: int = checked(_fd_count, 0)
    max_fds: int = checked(_fd_count, NO_MAXIMUM)
    # dbus-daemon accepts any value here, and takes all but "true" for false.
    log: str | None = text()
    own: str | None = text()
    own_prefix: str | None = text()
    user: str | None = text()
    group: str | None = text()

    @property
    def is_send(self) -> bool:
        """True if any send_ attribute is given."""
        return any(name.startswith("send_") for name in self.given)

    @property
    def is_receive(self) -> bool:
        """True if any receive_ attribute is given, or a bare eavesdrop, which means receive_sender="*"."""
        if any(name.startswith("receive_") for name in self.given):
            return True
        return "eavesdrop" in self.given and not self.is_send

    def check(self) -> None:
        """Check the combination of attributes."""
        alone = len(self.given & {"own", "own_prefix", "user", "group"})
        about_message = self.is_send or self.is_receive or self.given & {"min_fds", "max_fds"}
        if not (self.is_send or self.is_receive or alone):
            raise Refusal(f"Element <{self.element}> must have one or more attributes")
        self._check_members()
        if bool(about_message) + alone > 1:
            raise self._combination(
                "own, own_prefix, user, group and the message-related attributes cannot be combined"
            )
        if self.is_send and self.is_receive:
            raise self._combination("send and receive attributes cannot be combined")
        self._check_message()

    def _check_members(self) -> None:
        given = self.given
        for side in ("send", "receive"):
            if f"{side}_member" in given and not given & {f"{side}_interface", f"{side}_path"}:
                raise Refusal(
                    f"On element <{self.element}>, if you specify a member you must specify an interface"
                    " or a path. Keep in mind that not all messages have an interface field."
                )

    def _check_message(self) -> None:
        given = self.given
        if "send_error" in given and given & {"send_member", "send_interface"}:
            raise self._combination("send_error cannot be combined with send_member or send_interface")
        if {"send_destination", "send_destination_prefix"} <= given:
            raise self._combination("send_destination cannot be combined with send_destination_prefix")
        if "receive_error" in given and given & {"receive_member", "receive_interface"}:
            raise self._combination(
                "receive_error cannot be combined with receive_member or receive_interface"
            )
        if self.send_broadcast and self.send_destination not in (None, "*"):
            raise Refusal(
                f'Rule with send_broadcast="true" and send_destination="{self.send_destination}" '
                "cannot match anything"
            )

    def _combination(self, reason: str) -> Refusal:
        return Refusal(f"Invalid combination of attributes on element <{self.element}>: {reason}")
