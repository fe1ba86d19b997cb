"""Random rules, messages and owners by seed, for large numbers: all choices are equally likely.

The strategies minimise failing cases; these find more cases in which many rules interact.
"""

from __future__ import annotations

from random import Random
from typing import TypeVar

from omnibus.policy.question import Header, Identity
from omnibus.policy.rules import ANY_ID, NO_MAXIMUM, Context, Kind, Rule

from .strategies import BUS, ERROR, ERRORS, GIDS, INTERFACES, MEMBERS, METHOD_CALL, NAMES, PATHS, SIGNAL, UIDS

T = TypeVar("T")
SPECIAL_NAMES = (BUS, ":1.0", ":1.2")
SPECIAL_PREFIXES = (":1", "org", "org.freedesktop")


def maybe(random: Random, choices: tuple[T, ...], often: float = 0.3) -> T | None:
    return random.choice(choices) if random.random() < often else None


def rule(random: Random) -> Rule:
    """A send or receive rule in some context; most rules have one or two attributes."""
    kind = random.choice((Kind.SEND, Kind.RECEIVE))
    is_send = kind == Kind.SEND
    context = random.choice((*Context, Context.DEFAULT, Context.DEFAULT, Context.DEFAULT))
    principals = {Context.USER: UIDS, Context.GROUP: GIDS}.get(context, (ANY_ID,))
    prefix = is_send and random.random() < 0.3
    names = (*NAMES, *(SPECIAL_PREFIXES if prefix else SPECIAL_NAMES))
    destination = maybe(random, names, 0.6)
    return Rule(
        kind,
        random.random() < 0.5,
        context,
        random.choice(principals),
        message_type=maybe(random, (1, 2, 3, 4), 0.2) or 0,
        destination=destination,
        path=maybe(random, PATHS, 0.15),
        interface=maybe(random, INTERFACES),
        member=maybe(random, MEMBERS, 0.15),
        error=maybe(random, ERRORS, 0.1),
        min_fds=maybe(random, (1, 2), 0.1) or 0,
        max_fds=random.choice((0, 1)) if random.random() < 0.1 else NO_MAXIMUM,
        prefix=prefix and destination is not None,
        eavesdrop=random.random() < 0.3,
        requested_reply=random.random() < 0.5,
        log=is_send and random.random() < 0.2,
        broadcast=maybe(random, (True, False), 0.2) if is_send else None,
    )


def own_rule(random: Random) -> Rule:
    """A rule about the ownership of names."""
    context = random.choice(tuple(Context))
    principals = {Context.USER: UIDS, Context.GROUP: GIDS}.get(context, (ANY_ID,))
    name = maybe(random, (*NAMES, "org", ""), 0.9)
    prefix = name is not None and random.random() < 0.4
    return Rule(
        Kind.OWN,
        random.random() < 0.5,
        context,
        random.choice(principals),
        destination=name,
        prefix=prefix,
    )


def policy(random: Random) -> list[Rule]:
    """Up to 40 rules; one in some of them invalidates all before it."""
    rules = [
        own_rule(random) if random.random() < 0.2 else rule(random) for _ in range(random.randrange(1, 40))
    ]
    for number in range(len(rules)):
        if random.random() < 0.03:
            rules[number] = Rule(rules[number].kind, rules[number].allow).replace(log=rules[number].log)
    return rules


def identities(random: Random, n: int) -> list[Identity]:
    """Some connections, often of the same user."""
    few = [
        Identity(
            random.choice((None, *UIDS)),
            tuple(random.sample(GIDS, random.randrange(len(GIDS)))),
            random.random() < 0.5,
        )
        for _ in range(2)
    ]
    return [random.choice(few) for _ in range(n)]


def queues(random: Random, n: int) -> dict[str, list[int]]:
    """Owners and claimants of some of the names."""
    owned = random.sample((*NAMES, "org", "net.unused.name"), 3)
    return {name: random.sample(range(n), random.randrange(n + 1)) for name in owned}


def header(random: Random) -> Header:
    """A message with the fields required by its type, and sometimes others."""
    kind = random.choice((1, 2, 3, 4))
    path, member = maybe(random, PATHS, 0.5), maybe(random, MEMBERS, 0.5)
    interface = maybe(random, (*INTERFACES, "net.unused.Name"), 0.8)
    if kind in (METHOD_CALL, SIGNAL):
        path, member = path or "/unused/name", member or "Unused"
    return Header(
        kind,
        destination=maybe(random, NAMES, 0.6 if kind == SIGNAL else 1.0),
        path=path,
        interface=(interface or INTERFACES[0]) if kind == SIGNAL else interface,
        member=member,
        error_name=maybe(random, ERRORS, 1.0 if kind == ERROR else 0.3),
        is_reply=kind in (2, 3) or random.random() < 0.1,
        n_fds=random.choice((0, 0, 0, 1, 2)),
    )
