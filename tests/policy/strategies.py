"""Random rules, identities and messages, from few enough names that they interact.

A case is written as XML for readers of configurations, or as rules for readers of a block.
"""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from hypothesis import strategies as st

from omnibus.policy.question import Header, Identity
from omnibus.policy.rules import ANY_ID, NO_MAXIMUM, Context, Kind, Rule

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4

BUS = "org.freedesktop.DBus"
NAMES = ("org.example", "org.example.A", "org.example.A.B", "org.example.AB", "com.example.C")
PATHS = ("/", "/a", "/a/b")
INTERFACES = ("org.example.I", "org.example.J")
MEMBERS = ("Get", "Set")
ERRORS = ("org.example.Error.X", "org.example.Error.Y")
UIDS = (0, 1, 1000)
GIDS = (0, 1, 100, 1000)

names = st.sampled_from(NAMES)
paths = st.sampled_from(PATHS)
interfaces = st.sampled_from(INTERFACES)
members = st.sampled_from(MEMBERS)
errors = st.sampled_from(ERRORS)


def maybe(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    """A value, or more often none."""
    return st.one_of(st.none(), st.none(), strategy)


@st.composite
def rules(draw: st.DrawFn, kinds: tuple[Kind, ...] = tuple(Kind)) -> Rule:
    """A rule that can be written in a configuration file, in <policy context="default">."""
    kind = draw(st.sampled_from(kinds))
    allow = draw(st.booleans())
    if kind in (Kind.CONNECT_USER, Kind.CONNECT_GROUP):
        ids = UIDS if kind == Kind.CONNECT_USER else GIDS
        return Rule(kind, allow, principal=draw(st.sampled_from((ANY_ID, *ids))))
    if kind == Kind.OWN:
        name = draw(maybe(names))
        return Rule(kind, allow, destination=name, prefix=name is not None and draw(st.booleans()))
    interface, path = draw(maybe(interfaces)), draw(maybe(paths))
    # A member needs an interface or a path, and an error name excludes an interface.
    member = draw(maybe(members)) if interface or path else None
    error = draw(maybe(errors)) if not interface and not member else None
    destination = draw(maybe(names))
    is_send = kind == Kind.SEND
    prefix = is_send and destination is not None and draw(st.booleans())
    broadcast = draw(st.sampled_from((None, None, True, False))) if is_send else None
    if broadcast and destination is not None and not prefix:
        broadcast = None
    return Rule(
        kind,
        allow,
        message_type=draw(st.sampled_from((0, 0, METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL))),
        destination=destination,
        path=path,
        interface=interface,
        member=member,
        error=error,
        min_fds=draw(st.sampled_from((0, 0, 0, 1, 2))),
        max_fds=draw(st.sampled_from((NO_MAXIMUM, NO_MAXIMUM, NO_MAXIMUM, 0, 1))),
        prefix=prefix,
        eavesdrop=draw(st.booleans()),
        requested_reply=draw(st.booleans()),
        log=False,
        broadcast=broadcast,
    )


@st.composite
def policies(
    draw: st.DrawFn,
    uids: tuple[int, ...] = UIDS,
    gids: tuple[int, ...] = GIDS,
    kinds: tuple[Kind, ...] = (Kind.SEND, Kind.SEND, Kind.RECEIVE, Kind.RECEIVE, Kind.OWN),
    max_size: int = 12,
) -> list[Rule]:
    """Rules in all contexts, most often after some that allow everything, as on a session bus.

    Rules about connecting appear only in contexts that permit them.
    """
    found = []
    if draw(st.sampled_from((True, True, False))):
        eavesdrop, requested = draw(st.booleans()), draw(st.booleans())
        for kind in (Kind.SEND, Kind.RECEIVE):
            found.append(Rule(kind, True, eavesdrop=eavesdrop, requested_reply=requested))
        found.append(Rule(Kind.OWN, True))
    for rule in draw(st.lists(rules(kinds), max_size=max_size)):
        contexts = tuple(Context) if rule.is_per_client else (Context.DEFAULT, Context.MANDATORY)
        context = draw(st.sampled_from(contexts))
        principal = rule.principal
        if context in (Context.USER, Context.GROUP):
            principal = draw(st.sampled_from(uids if context == Context.USER else gids))
        found.append(rule.replace(context=context, principal=principal))
    return found


identities = st.builds(
    Identity,
    uid=st.one_of(st.none(), st.sampled_from(UIDS)),
    gids=st.lists(st.sampled_from(GIDS), unique=True).map(tuple),
    at_console=st.booleans(),
)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """A valid message with the fields required by its type, and sometimes others."""
    kind = draw(st.sampled_from((METHOD_CALL, METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL, SIGNAL)))
    is_call, is_signal = kind == METHOD_CALL, kind == SIGNAL
    return Header(
        kind,
        destination=draw(maybe(names)) if is_signal else draw(names),
        path=draw(paths) if is_call or is_signal else draw(maybe(paths)),
        interface=draw(interfaces) if is_signal else draw(st.one_of(st.none(), interfaces)),
        member=draw(members) if is_call or is_signal else draw(maybe(members)),
        error_name=draw(errors) if kind == ERROR else draw(maybe(errors)),
        is_reply=kind in (METHOD_RETURN, ERROR) or draw(st.integers(0, 7)) == 0,
        n_fds=draw(st.sampled_from((0, 0, 0, 1, 2))),
    )


_CONTEXTS = {
    Context.DEFAULT: 'context="default"',
    Context.MANDATORY: 'context="mandatory"',
    Context.AT_CONSOLE: 'at_console="true"',
    Context.NO_CONSOLE: 'at_console="false"',
}


def to_xml(rules: list[Rule]) -> str:
    """The rules as <policy> elements, one rule and one line each, in their order."""
    lines = []
    for rule in rules:
        context = (
            _CONTEXTS.get(rule.context) or f"{rule.context.name.lower()}={quoteattr(str(rule.principal))}"
        )
        lines.append(f"<policy {context}>{rule}</policy>")
    return "\n".join(lines)
