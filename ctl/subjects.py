"""Users as the policy sees them: an identity and a text for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..policy.principals import group_id, user_id
from ..policy.question import Identity
from ..policy.rules import ANY_ID, Context, Rule
from .exits import USAGE, Stop


def find_user(text: str) -> int:
    """Return the uid of a user by name or number, which need not be known to the system; raises Stop."""
    if text.isdecimal():
        return int(text)
    found = user_id(text)
    if found is None:
        raise Stop(USAGE, f"there is no user {text!r}")
    return found


def find_group(text: str) -> int:
    """Return the gid of a group; raises Stop."""
    if text.isdecimal():
        return int(text)
    found = group_id(text)
    if found is None:
        raise Stop(USAGE, f"there is no group {text!r}")
    return found


def user_name(uid: int | None) -> str:
    """Return the name of a user, or its number."""
    import pwd

    if uid is None:
        return "an anonymous user"
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def group_name(gid: int) -> str:
    """Return the name of a group, or its number."""
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)


def identity_of(uid: int, *, at_console: bool = False) -> Identity:
    """Return the identity of a process that runs as this user, with the groups of a log-in."""
    import pwd

    if uid == os.geteuid():
        gids = {os.getegid(), *os.getgroups()}
    else:
        try:
            entry = pwd.getpwuid(uid)
            gids = set(os.getgrouplist(entry.pw_name, entry.pw_gid))
        except (KeyError, OverflowError):
            gids = set()
    return Identity(uid, tuple(sorted(gids)), at_console)


def identity_from(credentials: Mapping[str, Any], *, at_console: bool = False) -> Identity:
    """Return the identity that GetConnectionCredentials describes; without groups those of a log-in."""
    uid = credentials.get("UnixUserID")
    gids = credentials.get("UnixGroupIDs")
    if uid is not None and gids is None:
        return identity_of(uid, at_console=at_console)
    return Identity(uid, tuple(gids or ()), at_console)


def principal(rule: Rule) -> str:
    """Return to which connections a rule applies, as the <policy> around it says."""
    match rule.context:
        case Context.USER:
            return f'user="{user_name(rule.principal)}"'
        case Context.GROUP:
            return f'group="{group_name(rule.principal)}"'
        case Context.AT_CONSOLE:
            return 'at_console="true"'
        case Context.NO_CONSOLE:
            return 'at_console="false"'
    return f'context="{rule.context.name.lower()}"'


OTHERS = 0xFFFFFFFE
"""A uid that no user has: what the policy says of users that it does not mention."""


def mentioned(rules: Iterable[Rule]) -> list[tuple[str, Identity]]:
    """Return a text and an identity for every kind of connection that the rules tell apart."""
    rules = list(rules)
    uids = {rule.principal for rule in rules if rule.context == Context.USER} - {ANY_ID}
    gids = {rule.principal for rule in rules if rule.context == Context.GROUP} - {ANY_ID}
    found = [("all others", Identity(OTHERS))]
    found += [(f"user {user_name(uid)}", identity_of(uid)) for uid in sorted(uids | {0})]
    found += [(f"group {group_name(gid)}", Identity(OTHERS, (gid,))) for gid in sorted(gids)]
    if any(rule.context in (Context.AT_CONSOLE, Context.NO_CONSOLE) for rule in rules):
        found.append(("users at a console", Identity(OTHERS, (), True)))
    return found
