"""Whether a connection may send a message, own a name or connect, and the rule that decides.

  omnibusctl why --user=daemon org.example.Service org.example.Interface.Member
  omnibusctl why --own=org.example.Service --user=service
  omnibusctl why --connect --user=daemon
omnibusctl why --last                    the latest denial, and what would allow it

omnibusd is asked for the rules in force; of other buses, and for users that may not ask, the files count.
The receiver of a message is the owner of the name, if there is one; otherwise a process of the user of its
service file that owns just this name. AppArmor and SELinux, where they mediate the bus, know connections by
their labels, and are asked about the one of --from.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...policy.evaluate import ClientPolicy, Verdict
from ...policy.question import Header, Identity
from ...policy.rules import MESSAGE_TYPES, Rule
from ..exits import NO, USAGE, YES, Stop
from ..hint import ANY_PATH, Hint, hint_for
from ..live import Live
from ..mediation import Mediation, ask
from ..output import Output, escape
from ..source import Source, for_bus
from ..subjects import find_user, identity_from, identity_of, principal, user_name

if TYPE_CHECKING:
    from ..buses import Target

BUS_NAME = "org.freedesktop.DBus"
FIELDS = ("destination", "path", "interface", "member", "error_name")
NO_MEDIATION = Mediation()
ABOUT_USERS = True


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("destination", nargs="?", help="the name that the message is sent to; - for none")
    parser.add_argument("member", nargs="?", help="INTERFACE.MEMBER, or the name of an error")
    parser.add_argument("--user", help="the sender's user (default: you)")
    parser.add_argument("--from", dest="sender", metavar="NAME", help="the sender: a connection of the bus")
    parser.add_argument("--to-user", help="the receiver's user (default: that of its service file, or root)")
    parser.add_argument("--at-console", action="store_true", help="the sender's user sits at the machine")
    parser.add_argument("--type", choices=MESSAGE_TYPES, default="method_call", help="of the message")
    parser.add_argument("--path", help="the object path (default: one that no rule names)")
    parser.add_argument("--fds", type=int, default=0, metavar="N", help="descriptors in the message")
    parser.add_argument("--unrequested", action="store_true", help="a reply that nothing has asked for")
    parser.add_argument("--own", metavar="NAME", help="may the user own this name?")
    parser.add_argument("--connect", action="store_true", help="may the user connect?")
    parser.add_argument(
        "--last", nargs="?", type=int, const=1, metavar="N", help="explain the latest denials of the bus"
    )
    parser.add_argument("--since", metavar="AGE", help="of --last: only those of the latest 10min, 1h")
    parser.add_argument("--config", metavar="FILE", help="the configuration instead of that of the bus")


def run(target: Target, options: Namespace) -> int:
    """Answer; return YES or NO."""
    if options.last is not None:
        from ..explain import explain_latest

        return explain_latest(target, options.last, options.since, options.config)
    source = for_bus(target, options.config)
    identity, own_names = _sender(target, options)
    if options.connect:
        return _connect(target.output, source, identity)
    policy = source.policy.for_identity(identity)
    if options.own is not None:
        verdict = policy.can_own(options.own)
        mediation = _mediation(target, options, BUS_NAME, 0, {"destination": options.own})
        what = {"own": options.own}
        text = f"own {options.own}"
        return tell(target.output, source, identity, what, text, mediation=mediation, own=verdict)
    if options.destination is None:
        raise Stop(USAGE, "which message? omnibusctl why DESTINATION INTERFACE.MEMBER, or see --help")
    return _send(target, source, identity, own_names, options, policy)


def _sender(target: Target, options: Namespace) -> tuple[Identity, tuple[str, ...]]:
    """Return who sends, and its names as far as they are known; raises Stop."""
    if options.sender is None:
        uid = os.geteuid() if options.user is None else find_user(options.user)
        return identity_of(uid, at_console=options.at_console), ()
    found = Live(target).owner_of(options.sender)
    if found is None:
        raise Stop(NO, f"no connection has the name {options.sender}")
    who, names = found
    return identity_from(who, at_console=options.at_console), names


def _connect(output: Output, source: Source, identity: Identity) -> int:
    uid = identity.uid
    assert uid is not None, "a user was given"
    owner = 0 if source.settings is None or source.settings.user is None else find_user(source.settings.user)
    verdict = source.policy.can_connect(uid, identity.gids, owner)
    return tell(output, source, identity, {"connect": True}, "connect", connect=verdict)


def _send(
    target: Target,
    source: Source,
    identity: Identity,
    own_names: tuple[str, ...],
    options: Namespace,
    policy: ClientPolicy,
) -> int:
    header = _header(options)
    requested = header.is_reply and not options.unrequested
    to_bus = header.destination == BUS_NAME
    receiver, names, found_in = _receiver(target, source, header.destination, options)
    if to_bus:
        names = None
    send = policy.can_send(header, names, requested)
    what = {name: value for name, value in vars(header).items() if value is not None}
    what["type"] = options.type
    where = header.destination or "everything that listens"
    text = f"{options.type} {header.error_name or _full_member(header)} → {where}"
    mediation = NO_MEDIATION
    if header.destination is not None:
        fields = {name: getattr(header, name) for name in FIELDS}
        mediation = _mediation(target, options, header.destination, header.type, fields, requested=requested)
    if not send or to_bus:
        return tell(target.output, source, identity, what, text, header, mediation=mediation, send=send)
    receive = source.policy.for_identity(receiver).can_receive(header, own_names, requested)
    what |= {"receiver_uid": receiver.uid, "receiver_from": found_in}
    verdicts = {"send": send, "receive": receive}
    return tell(target.output, source, identity, what, text, header, receiver, mediation, **verdicts)


def _mediation(
    target: Target,
    options: Namespace,
    receiver: str,
    type_: int,
    fields: Mapping[str, str | None],
    *,
    requested: bool = False,
) -> Mediation:
    """Return what the modules say that mediate a running bus."""
    if options.config is not None or not target.is_there():
        return NO_MEDIATION
    return ask(Live(target), options.sender, receiver, type_, fields, requested=requested)


def _full_member(header: Header) -> str:
    return f"{header.interface}.{header.member}" if header.interface else str(header.member or "")


def _header(options: Namespace) -> Header:
    """Return the message that the options describe; raises Stop."""
    type_ = MESSAGE_TYPES[options.type]
    is_reply = options.type in ("method_return", "error")
    interface = member = error = None
    if options.type == "error":
        error = options.member
    elif options.member:
        interface, dot, member = options.member.rpartition(".")
        if not dot:
            raise Stop(
                USAGE, f"{options.member} is no INTERFACE.MEMBER; for a call without interface: .MEMBER"
            )
    elif not is_reply:
        raise Stop(USAGE, f"a {options.type} has an INTERFACE.MEMBER")
    path = options.path or (None if is_reply else ANY_PATH)
    destination = None if options.destination == "-" else options.destination
    return Header(
        type_, destination, None, path, interface or None, member, error, is_reply, n_fds=options.fds
    )


def _receiver(
    target: Target, source: Source, name: str | None, options: Namespace
) -> tuple[Identity, tuple[str, ...] | None, str]:
    """Return the identity that would receive a message, its names, and how it was found."""
    names = None if name is None else (name,)
    if options.to_user is not None:
        return identity_of(find_user(options.to_user)), names, "--to-user"
    owner = None
    if name is not None and name != BUS_NAME and options.config is None and target.is_there():
        owner = Live(target).owner_of(name)
    if owner is not None:
        return identity_from(owner[0]), owner[1], "the owner of the name"
    for directory in source.settings.service_dirs if source.settings and name else ():
        user = _service_user(f"{directory.path}/{name}.service")
        if user is not None:
            return identity_of(find_user(user)), names, "its service file"
    return identity_of(0), names, "nothing; root is assumed"


def _service_user(path: str) -> str | None:
    from ...daemon.activation.desktop_file import DesktopFileError
    from ...daemon.activation.service_file import load

    try:
        return load(path).user
    except (OSError, DesktopFileError):
        return None


def tell(
    output: Output,
    source: Source,
    identity: Identity,
    what: dict[str, Any],
    text: str,
    header: Header | None = None,
    receiver: Identity | None = None,
    mediation: Mediation = NO_MEDIATION,
    **verdicts: Verdict,
) -> int:
    """Print the verdicts; the last one is the answer, since a denial ends the questions."""
    permitted = all(verdicts.values())
    allowed = permitted and mediation.allowed
    hint = None if permitted else hint_for(source, identity, receiver, header, what, verdicts)
    if output.as_json:
        output.json(
            {
                "allowed": allowed,
                "uid": identity.uid,
                "gids": list(identity.gids),
                "message": what,
                "policy": source.plain,
                "mediation": mediation.plain(),
                **{side: plain(verdict) for side, verdict in verdicts.items()},
                "hint": None if hint is None else hint.plain(),
            }
        )
        return YES if allowed else NO
    word = output.paint("ALLOWED", "bold", "green") if allowed else output.paint("DENIED", "bold", "red")
    output.line(f"{word}  {escape(text)}  by {user_name(identity.uid)} (uid {identity.uid})")
    for side, verdict in verdicts.items():
        _tell_side(output, side, verdict)
    if receiver is not None:
        output.line(
            f"  the receiver's user is {user_name(receiver.uid)}, as known from {what['receiver_from']}"
        )
    elif header is not None and not permitted:
        output.line("  receive: not asked")
    for line in mediation.lines:
        output.line(f"  {escape(line)}")
    if hint is not None:
        _tell_hint(output, hint)
    output.line(f"  policy: {source.text}")
    return YES if allowed else NO


def _tell_side(output: Output, side: str, verdict: Verdict) -> None:
    rule = verdict.rule
    if rule is None:
        output.line(f"  {side}: {verdict.default}, so it is {'allowed' if verdict.allowed else 'denied'}")
        return
    output.line(f"  {side}: {escape(str(rule))}")
    count = "the only rule that matches" if verdict.matched == 1 else f"last of {verdict.matched} that match:"
    output.line(f"        {escape(place(rule))} in <policy {principal(rule)}>, {count}")
    width = max((len(place(one)) for one in verdict.overruled), default=0)
    for number, one in enumerate(verdict.overruled, 1):
        output.line(output.paint(f"    {number:2}  {escape(place(one)):{width}}  {escape(str(one))}", "dim"))


def _tell_hint(output: Output, hint: Hint) -> None:
    if not hint.lines:
        output.line(f"  {hint.text}")
        return
    output.line(f"  To allow exactly this, if meant, {hint.text}:")
    for line in hint.lines:
        output.line(f"    {escape(line)}")


def place(rule: Rule) -> str:
    """Return file and line of a rule."""
    return f"{rule.file}:{rule.line}"


def plain(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict for JSON."""
    return {
        "allowed": verdict.allowed,
        "default": verdict.default if verdict.rule is None else None,
        "rule": None if verdict.rule is None else plain_rule(verdict.rule),
        "overruled": [plain_rule(rule) for rule in verdict.overruled],
    }


def plain_rule(rule: Rule) -> dict[str, Any]:
    """Return a rule for JSON."""
    return {"xml": str(rule), "policy": principal(rule), "file": rule.file, "line": rule.line}
