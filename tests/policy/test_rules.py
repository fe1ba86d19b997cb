"""dbus-daemon(1), <allow> and <deny>: the compiled form of each attribute."""

from __future__ import annotations

import grp
import pwd
from pathlib import Path

import pytest
from hypothesis import given

from omnibus.policy import principals
from omnibus.policy.attributes import RuleAttributes
from omnibus.policy.block import decode
from omnibus.policy.compiler import compile_rule
from omnibus.policy.model import validate
from omnibus.policy.rules import ANY_ID, NO_MAXIMUM, Context, Kind, Rule
from omnibus.policy.xml import parse
from support.retries import USERS, retry_on_changes_of

from .conftest import Read
from .strategies import rules


def compiled(text: str) -> Rule:
    """The rule in <policy context="default">."""
    root = parse(f'<busconfig><policy context="default">{text}</policy></busconfig>'.encode(), "")
    (element,) = root.children[0].children
    attributes = validate(RuleAttributes, element, element=element.name)
    return compile_rule(attributes, Context.DEFAULT, ANY_ID, element).replace(line=0)


class TestAttributes:
    """Absent attributes, and "*", match everything."""

    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ('<allow send_destination="*"/>', Rule(Kind.SEND, True, requested_reply=True)),
            ('<deny send_destination="*"/>', Rule(Kind.SEND, False)),
            ('<deny send_type="*"/>', Rule(Kind.SEND, False)),
            (
                '<deny send_path="*" send_interface="*" send_member="*"/>',
                Rule(Kind.SEND, False),
            ),
            ('<deny send_destination="a.b"/>', Rule(Kind.SEND, False, destination="a.b")),
            (
                '<deny send_destination_prefix="a.b"/>',
                Rule(Kind.SEND, False, destination="a.b", prefix=True),
            ),
            ('<deny send_destination_prefix="*"/>', Rule(Kind.SEND, False, destination="*", prefix=True)),
            ('<deny send_path="/" send_member="A"/>', Rule(Kind.SEND, False, path="/", member="A")),
            ('<deny send_error="a.b"/>', Rule(Kind.SEND, False, error="a.b")),
            ('<deny send_interface=""/>', Rule(Kind.SEND, False, interface="")),
            ('<deny send_broadcast="true"/>', Rule(Kind.SEND, False, broadcast=True)),
            ('<deny send_broadcast="false"/>', Rule(Kind.SEND, False, broadcast=False)),
            ('<deny send_type="signal" log="true"/>', Rule(Kind.SEND, False, message_type=4, log=True)),
            ('<deny send_type="signal" log="yes"/>', Rule(Kind.SEND, False, message_type=4)),
            ('<allow eavesdrop="true"/>', Rule(Kind.RECEIVE, True, eavesdrop=True, requested_reply=True)),
            (
                '<allow send_type="error" eavesdrop="true"/>',
                Rule(Kind.SEND, True, message_type=3, eavesdrop=True, requested_reply=True),
            ),
            ('<deny receive_sender="*"/>', Rule(Kind.RECEIVE, False)),
            ('<deny receive_sender="a.b" log="true"/>', Rule(Kind.RECEIVE, False, destination="a.b")),
            (
                '<deny receive_interface="a.b" receive_member="A"/>',
                Rule(Kind.RECEIVE, False, interface="a.b", member="A"),
            ),
            ('<deny receive_error="a.b"/>', Rule(Kind.RECEIVE, False, error="a.b")),
            ('<allow own="*"/>', Rule(Kind.OWN, True)),
            ('<allow own="a.b"/>', Rule(Kind.OWN, True, destination="a.b")),
            ('<allow own_prefix="a.b"/>', Rule(Kind.OWN, True, destination="a.b", prefix=True)),
            ('<allow own_prefix="*"/>', Rule(Kind.OWN, True, destination="*", prefix=True)),
            ('<allow own_prefix=""/>', Rule(Kind.OWN, True, destination="", prefix=True)),
            ('<allow user="*"/>', Rule(Kind.CONNECT_USER, True)),
            ('<deny group="*"/>', Rule(Kind.CONNECT_GROUP, False)),
            ('<deny user="0"/>', Rule(Kind.CONNECT_USER, False, principal=0)),
        ],
    )
    def test_meaning(self, text: str, rule: Rule) -> None:
        assert compiled(text) == rule

    @pytest.mark.parametrize(
        ("name", "number"), [("method_call", 1), ("method_return", 2), ("error", 3), ("signal", 4)]
    )
    @pytest.mark.parametrize("side", ["send", "receive"])
    def test_types(self, side: str, name: str, number: int) -> None:
        assert compiled(f'<allow {side}_type="{name}"/>').message_type == number

    @pytest.mark.parametrize("side", ["send", "receive"])
    def test_requested_reply(self, side: str) -> None:
        """It defaults to true for allow, to false for deny."""
        assert compiled(f'<allow {side}_type="error"/>').requested_reply is True
        assert compiled(f'<deny {side}_type="error"/>').requested_reply is False
        for given_value, value in (("true", True), ("false", False)):
            for element in ("allow", "deny"):
                text = f'<{element} {side}_requested_reply="{given_value}"/>'
                assert compiled(text).requested_reply is value

    @pytest.mark.parametrize("side", ["send", "receive"])
    def test_fds(self, side: str) -> None:
        """A maximum that no message exceeds is no limit."""
        found = compiled(f'<deny {side}_type="*" min_fds="0x2" max_fds="3"/>')
        assert (found.min_fds, found.max_fds) == (2, 3)
        assert compiled(f'<deny {side}_type="*" max_fds="33554432"/>').max_fds == NO_MAXIMUM

    @given(rules())
    def test_written_as_xml_and_read_again(self, rule: Rule) -> None:
        """The text of a rule, which explains decisions, parses to the same rule."""
        if rule.principal != ANY_ID:
            rule = rule.replace(principal=0)
        assert compiled(str(rule)) == rule

    def test_catch_all(self) -> None:
        """dbus-daemon considers only the type and the strings."""
        for text in (
            'own="*"',
            'send_destination="*" min_fds="1"',
            'send_broadcast="true"',
            'eavesdrop="true"',
        ):
            assert compiled(f"<deny {text}/>").is_catch_all
        for text in ('own_prefix=""', 'send_type="signal"', 'send_path="/"', 'receive_error="a"'):
            assert not compiled(f"<deny {text}/>").is_catch_all


class TestPolicyElement:
    """<policy>: the clients to which its rules apply."""

    def context(self, read: Read, attributes: str) -> tuple[Context, int]:
        (rule,) = decode(read(f'<policy {attributes}><deny own="*"/></policy>').policy)
        return rule.context, rule.principal

    @pytest.mark.parametrize(
        ("attributes", "context"),
        [
            ('context="default"', (Context.DEFAULT, ANY_ID)),
            ('context="mandatory"', (Context.MANDATORY, ANY_ID)),
            ('at_console="true"', (Context.AT_CONSOLE, ANY_ID)),
            ('at_console="false"', (Context.NO_CONSOLE, ANY_ID)),
            ('user="root"', (Context.USER, 0)),
            ('user="0"', (Context.USER, 0)),
            ('group="root"', (Context.GROUP, 0)),
            ('group="00"', (Context.GROUP, 0)),
        ],
    )
    def test_context(self, read: Read, attributes: str, context: tuple[Context, int]) -> None:
        assert self.context(read, attributes) == context

    @pytest.mark.parametrize(
        ("attributes", "text"),
        [
            ('user="no-such-user"', 'Unknown username "no-such-user" in message bus configuration file'),
            ('group="no-such-group"', 'Unknown group "no-such-group" in message bus configuration file'),
            ('user="99999999999"', 'Unknown username "99999999999" in message bus configuration file'),
            ('group="4000000000"', 'Unknown group "4000000000" in message bus configuration file'),
        ],
    )
    def test_unknown_principals_are_skipped(self, read: Read, attributes: str, text: str) -> None:
        settings = read(f'<policy {attributes}><deny own="*"/><deny user="*"/></policy>')
        assert decode(settings.policy) == ()
        assert [(one.line, one.reason) for one in settings.warnings] == [(3, text)]

    def test_unknown_principals_of_a_rule_are_skipped(self, read: Read) -> None:
        settings = read(
            '<policy context="default">',
            '<deny user="no-such"/>',
            '<deny group="no-such"/>',
            '<allow user="root"/></policy>',
        )
        (rule,) = decode(settings.policy)
        assert (rule.kind, rule.principal, rule.line) == (Kind.CONNECT_USER, 0, 6)
        assert [(one.line, one.reason) for one in settings.warnings] == [
            (4, 'Unknown username "no-such" on element <deny>'),
            (5, 'Unknown group "no-such" on element <deny>'),
        ]

    def test_order_and_origin(self, read: Read, tmp_path: Path) -> None:
        """Rules are kept in the order of the files, each with its file and line."""
        settings = read(
            '<policy context="mandatory">',
            '  <deny own="a.a"/> <deny own="a.b"/>',
            '</policy><policy user="root">',
            '  <deny own="a.c"/>',
            "</policy>",
        )
        found = decode(settings.policy)
        assert [(rule.destination, rule.line) for rule in found] == [("a.a", 4), ("a.b", 4), ("a.c", 6)]
        assert {rule.file for rule in found} == {f"{tmp_path}/bus.conf"}


class TestPrincipals:
    @retry_on_changes_of(*USERS)
    def test_by_name(self) -> None:
        for user in pwd.getpwall()[:5]:
            assert principals.user_id(user.pw_name) == user.pw_uid
        for group in grp.getgrall()[:5]:
            assert principals.group_id(group.gr_name) == group.gr_gid

    @pytest.mark.parametrize("text", ["0", "00", "0x0", " 0", "+0"])
    def test_by_number(self, text: str) -> None:
        assert principals.user_id(text) == 0
        assert principals.group_id(text) == 0

    @retry_on_changes_of(*USERS)
    def test_by_number_in_octal_and_hexadecimal(self) -> None:
        uid = max(user.pw_uid for user in pwd.getpwall())
        assert (
            principals.user_id(f"0{uid:o}")
            == principals.user_id(f"0x{uid:x}")
            == principals.user_id(str(uid))
        )

    @pytest.mark.parametrize("text", ["", "-1", "0 ", "root ", "0x", "4294967294", "a\0b"])
    def test_unknown(self, text: str) -> None:
        assert principals.user_id(text) is None
        assert principals.group_id(text) is None
