"""Invalid configurations, the error and its line; every case is compared with dbus-daemon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from omnibus.policy import xml
from omnibus.policy.attributes import RuleAttributes
from omnibus.policy.load import load

from .conftest import Reference, Refuse, Write


@dataclass(frozen=True)
class Case:
    """The content of the third line, its error, and whether dbus-daemon agrees."""

    text: str
    reason: str
    same: bool = True


def rule(attributes: str, reason: str, same: bool = True) -> Case:
    return Case(f'<policy context="default"><allow {attributes}/></policy>', reason, same)


MIXED = (
    "Invalid combination of attributes on element <allow>: own, own_prefix, user, group and the"
    " message-related attributes cannot be combined"
)
NOTHING = "Element <allow> must have one or more attributes"
NO_PATH = "On element <allow>, if you specify a member you must specify an interface or a path."
ONE_OF = "<policy> element must have exactly one of (context|user|group|at_console) attributes"

REFUSED = {
    "unknown element": Case("<bees/>", "Element <bees> not allowed inside <busconfig> in configuration file"),
    "element none": Case("<none/>", "Element <none> not allowed inside <busconfig> in configuration file"),
    "nested root": Case(
        "<busconfig/>", "Element <busconfig> not allowed inside <busconfig> in configuration file"
    ),
    "rule outside of policy": Case("<allow own='*'/>", "Element <allow> not allowed inside <busconfig>"),
    "associate outside of selinux": Case(
        "<associate/>", "Element <associate> not allowed inside <busconfig>"
    ),
    "limit in policy": Case(
        '<policy context="default"><limit name="auth_timeout">1</limit></policy>',
        "Element <limit> not allowed inside <policy> in configuration file",
    ),
    "rule in selinux": Case(
        "<selinux><allow own='*'/></selinux>", "Element <allow> not allowed inside <selinux> in configuration"
    ),
    "element in text": Case("<user>a<b/></user>", "Element <b> is not allowed in this context"),
    "element in flag": Case("<fork><user>a</user></fork>", "Element <user> is not allowed in this context"),
    "element in rule": Case(
        '<policy context="default"><allow own="*"><deny own="*"/></allow></policy>',
        "Element <deny> is not allowed in this context",
    ),
    "attribute on flag": Case("<fork a='b'/>", 'Attribute "a" is invalid on <fork> element in this context'),
    "attribute on text": Case(
        "<listen carefully='yes'>a:</listen>", 'Attribute "carefully" is invalid on <listen> element in this'
    ),
    "attribute on limit": Case(
        "<limit name='auth_timeout' a='b'>1</limit>", 'Attribute "a" is invalid on <limit> element'
    ),
    "attribute on policy": Case(
        '<policy context="default" hat="red"/>', 'Attribute "hat" is invalid on <policy> element in this'
    ),
    "attribute on rule": rule('own="*" species="bee"', 'Attribute "species" is invalid on <allow> element'),
    "send_sender": rule('send_sender="a.b"', 'Attribute "send_sender" is invalid on <allow> element'),
    "receive_broadcast": rule('receive_broadcast="true"', 'Attribute "receive_broadcast" is invalid'),
    "text in root": Case(
        "honey", "No text content expected inside XML element busconfig in configuration file"
    ),
    "text in flag": Case("<fork>yes</fork>", "No text content expected inside XML element fork"),
    "text in policy": Case(
        '<policy context="default">a</policy>', "No text content expected inside XML element policy"
    ),
    "text in rule": Case(
        '<policy context="default"><deny own="*">a</deny></policy>',
        "No text content expected inside XML element deny",
    ),
    "text in apparmor": Case(
        "<apparmor>on</apparmor>", "No text content expected inside XML element apparmor"
    ),
    **{
        f"empty {name}": Case(f"<{name}/>", f"XML element <{name}> was expected to have content inside it")
        for name, shape in xml.SHAPES.items()
        if shape.text and name != "limit"
    },
    "empty limit": Case(
        '<limit name="auth_timeout"/>', "XML element <limit> was expected to have content inside it"
    ),
    "include ignore_missing": Case(
        '<include ignore_missing="maybe">a</include>',
        'ignore_missing attribute must have value "yes" or "no"',
    ),
    "include if_selinux_enabled": Case(
        '<include if_selinux_enabled="true">a</include>',
        'if_selinux_enabled attribute must have value "yes" or "no"',
    ),
    "include selinux_root_relative": Case(
        '<include selinux_root_relative="">a</include>',
        'selinux_root_relative attribute must have value "yes" or "no"',
    ),
    "include of nothing": Case(
        "<include>/no/such.conf</include>", 'Failed to open "/no/such.conf": No such file'
    ),
    "include of a directory": Case("<include>/</include>", '"/" is not a regular file'),
    "includedir of a file": Case(
        "<includedir>/etc/passwd</includedir>", 'Failed to read directory "/etc/passwd": Not a directory'
    ),
    "limit without name": Case("<limit>1</limit>", '<limit> element must have a "name" attribute'),
    "unknown limit": Case('<limit name="max_bees">1</limit>', 'There is no limit called "max_bees"'),
    "limit no number": Case(
        '<limit name="auth_timeout">long</limit>',
        '<limit name="auth_timeout"> element has invalid value (could not parse as integer)',
    ),
    "limit beyond long": Case(
        '<limit name="max_message_size">9223372036854775808</limit>',
        '<limit name="max_message_size"> element has invalid value (could not parse as integer)',
    ),
    "limit beyond int": Case(
        '<limit name="auth_timeout">2147483648</limit>', '<limit name="auth_timeout"> value is too large'
    ),
    "negative limit": Case(
        '<limit name="max_message_size">-1</limit>',
        '<limit name="max_message_size"> must be a positive number',
    ),
    "never as reply_timeout": Case(
        '<limit name="reply_timeout">-1</limit>', '<limit name="reply_timeout"> must be a positive number'
    ),
    "policy without a subject": Case("<policy/>", ONE_OF),
    "policy for two": Case('<policy context="default" user="root"/>', ONE_OF),
    "policy for all": Case('<policy context="default" user="0" group="0" at_console="true"/>', ONE_OF),
    "policy context": Case(
        '<policy context="a&quot;b"/>',
        'context attribute on <policy> must have the value "default" or "mandatory", not "a"b"',
    ),
    "policy at_console": Case(
        '<policy at_console="yes"/>', 'Unknown value "yes" for at_console in message bus configuration file'
    ),
    "connect rule for a user": Case(
        '<policy user="root"><allow user="*"/></policy>',
        "<allow> rule cannot be per-user because it has bus-global semantics",
    ),
    "connect rule for a group": Case(
        '<policy group="root"><deny group="root"/></policy>',
        "<deny> rule cannot be per-group because it has bus-global semantics",
    ),
    "rule without attributes": rule("", NOTHING),
    "rule with log alone": rule('log="true"', NOTHING),
    "rule with min_fds alone": rule('min_fds="1"', NOTHING),
    "rule with max_fds alone": rule('max_fds="1"', NOTHING),
    "send_member alone": rule('send_member="A"', NO_PATH),
    "receive_member alone": rule('receive_member="A" receive_sender="a.b"', NO_PATH),
    "member with the other side's path": rule('send_member="A" receive_path="/"', NO_PATH),
    "own and user": rule('own="*" user="*"', MIXED),
    "own and own_prefix": rule('own="a.b" own_prefix="a.b"', MIXED),
    "user and group": rule('user="*" group="*"', MIXED),
    "own and send": rule('own="a.b" send_destination="a.b"', MIXED),
    "user and receive": rule('user="*" receive_sender="a.b"', MIXED),
    "own and eavesdrop": rule('own="a.b" eavesdrop="true"', MIXED),
    "own and max_fds": rule('own="a.b" max_fds="1"', MIXED),
    "send and receive": rule(
        'send_path="/" receive_path="/"',
        "Invalid combination of attributes on element <allow>: send and receive attributes cannot be",
    ),
    "send_error and interface": rule(
        'send_error="a.b" send_interface="a.b"',
        "send_error cannot be combined with send_member or send_interface",
    ),
    "receive_error and member": rule(
        'receive_error="a.b" receive_member="A" receive_path="/"',
        "receive_error cannot be combined with receive_member or receive_interface",
    ),
    "destination and prefix": rule(
        'send_destination="a.b" send_destination_prefix="a.b"',
        "send_destination cannot be combined with send_destination_prefix",
    ),
    "broadcast to a destination": rule(
        'send_broadcast="true" send_destination="a.b"',
        'Rule with send_broadcast="true" and send_destination="a.b" cannot match anything',
    ),
    "send_type": rule('send_type="method"', 'Bad message type "method"'),
    "empty receive_type": rule('receive_type=""', 'Bad message type ""'),
    "send_broadcast": rule(
        'send_broadcast="yes"', 'Bad value "yes" for send_broadcast attribute, must be true or false'
    ),
    # dbus-daemon swaps name and value in these.
    "eavesdrop": rule(
        'eavesdrop="yes"', 'Bad value "yes" for eavesdrop attribute, must be true or false', False
    ),
    "send_requested_reply": rule(
        'send_requested_reply="1"', 'Bad value "1" for send_requested_reply attribute, must be', False
    ),
    "receive_requested_reply": rule(
        'receive_requested_reply="1"', 'Bad value "1" for receive_requested_reply attribute, must be', False
    ),
    "max_fds too large": rule(
        'send_type="*" max_fds="33554433"',
        'Bad value "33554433" for max_fds attribute, must be an integer in range 0 to 33554432 inclusive',
    ),
    "min_fds negative": rule('send_type="*" min_fds="-1"', 'Bad value "-1" for min_fds attribute, must be'),
    "min_fds no number": rule('receive_type="*" min_fds=""', 'Bad value "" for min_fds attribute, must be'),
    "rule for an unknown user": Case('<policy user="no-such-user"><allow own="*" user="*"/></policy>', MIXED),
    "apparmor mode": Case(
        '<apparmor mode="plaintive"/>',
        'Mode attribute on <apparmor> must have value "required", "enabled" or "disabled", not "plaintive"',
    ),
    "associate without context": Case(
        '<selinux><associate own="a.b"/></selinux>',
        'Element <associate> must have attributes own="<servicename>" and context="<selinux context>"',
    ),
    "associate without own": Case(
        '<selinux><associate context="a"/></selinux>',
        'Element <associate> must have attributes own="<servicename>" and context="<selinux context>"',
    ),
    "include of itself": Case("<include>bus.conf</include>", "Circular inclusion of file '{dir}/bus.conf'"),
    "include of itself ignoring": Case(
        '<include ignore_missing="yes">bus.conf</include>', "Circular inclusion of file '{dir}/bus.conf'"
    ),
}

ACCEPTED = {
    "nothing": "",
    "white space and comments": " \t<!-- a --> \n <fork> </fork>",
    "repeated elements": "<type>a</type><type>b</type><pidfile>c</pidfile><pidfile>d</pidfile>",
    "number with a tail": '<limit name="auth_timeout">5s</limit>',
    "unknown user": '<policy user="no-such-user"><allow user="*"/></policy>',
    "unknown group": '<policy group="no-such-group"><allow own="*"/></policy>',
    "unknown user on a rule": '<policy user="root"><allow user="no-such-user"/></policy>',
    "users and groups by number": '<policy user="0x0"><deny own="a.b"/></policy><policy group=" 0"/>',
    "connect rule at the console": '<policy at_console="false"><allow user="*"/></policy>',
    "empty policies": '<policy context="mandatory"/><policy at_console="true"></policy>',
    "every send attribute": (
        '<policy context="default"><deny send_destination="a.b" send_path="/" send_interface="a.b"'
        ' send_member="A" send_type="signal" send_broadcast="false" send_requested_reply="true"'
        ' eavesdrop="false" min_fds="1" max_fds="2" log="true"/></policy>'
    ),
    "every receive attribute": (
        '<policy context="default"><deny receive_sender="a.b" receive_path="/" receive_interface="a.b"'
        ' receive_member="A" receive_type="*" receive_requested_reply="true" eavesdrop="true" min_fds="1"'
        ' max_fds="0" log="what"/></policy>'
    ),
    "errors": (
        '<policy context="default"><deny send_error="*"/>'
        '<deny receive_error="a.b" receive_path="*"/></policy>'
    ),
    "prefixes": (
        '<policy context="default"><allow own_prefix="*"/><allow own_prefix=""/>'
        '<allow send_destination_prefix="a.b" send_broadcast="true"/></policy>'
    ),
    "broadcast to any destination": (
        '<policy context="default"><deny send_broadcast="true" send_destination="*"/></policy>'
    ),
    "names that are none": '<policy context="default"><allow own="&lt;"/><deny send_path="x"/></policy>',
    "log on own": '<policy context="default"><allow own="a.b" log="what"/></policy>',
    "bare eavesdrop": '<policy context="default"><deny eavesdrop="false" max_fds="33554432"/></policy>',
    "empty strings": '<policy context="default"><deny send_interface=""/><deny receive_sender=""/></policy>',
    "missing include": '<include ignore_missing="yes">nothing.conf</include>',
    "missing includedir": "<includedir>nowhere</includedir>",
    "service directories": (
        "<standard_session_servicedirs/><standard_system_servicedirs/><servicedir>a</servicedir>"
    ),
    "apparmor without mode": '<apparmor/><apparmor mode="disabled"/>',
    "selinux": '<selinux/><selinux><associate own="" context=""/></selinux>',
}


class TestRefused:
    @pytest.mark.parametrize("name", REFUSED)
    def test_reason_and_line(self, refuse: Refuse, tmp_path: Path, name: str) -> None:
        case = REFUSED[name]
        error = refuse(case.text)
        assert error.reason.startswith(case.reason.replace("{dir}", str(tmp_path))) or (
            error.reason.endswith(case.reason)
        )
        assert str(error) == f"{tmp_path}/bus.conf:3: {error.reason}"

    @pytest.mark.parametrize("name", REFUSED)
    def test_reference_refuses_it_too(
        self, write: Write, reference: Reference, name: str, tmp_path: Path
    ) -> None:
        case = REFUSED[name]
        path = write(case.text)
        answer = reference(path)
        assert answer is not None, "dbus-daemon takes this"
        assert not case.same or case.reason.replace("{dir}", str(tmp_path)) in answer


class TestAccepted:
    @pytest.mark.parametrize("name", ACCEPTED)
    def test_as_the_reference_does(self, write: Write, reference: Reference, name: str) -> None:
        path = write(ACCEPTED[name])
        assert reference(path) is None
        assert load(str(path)).listen


def test_shape_and_model_know_the_same_attributes() -> None:
    assert set(RuleAttributes.fields) - {"element"} == xml.SHAPES["allow"].attributes
