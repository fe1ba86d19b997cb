"""Specification, "Match Rules": the syntax of rules and their errors."""

from __future__ import annotations

import pytest

from support.raw import BusError, Client

INVALID = "org.freedesktop.DBus.Error.MatchRuleInvalid"
NOT_FOUND = "org.freedesktop.DBus.Error.MatchRuleNotFound"
LONG_NAME = "a." + "b" * 254

# Invalid rules, with the reason.
BAD = [
    ("type", "Match rule has a key with no subsequent '=' character"),
    ("type='signal',member", "Match rule has a key with no subsequent '=' character"),
    ("signal", "Match rule has a key with no subsequent '=' character"),
    (",", "Match rule has a key with no subsequent '=' character"),
    ("type='signal',,member='A'", 'Unknown key ",member" in match rule'),
    ("type='signal' member='A'", "Invalid message type (signal member=A) in match rule"),
    ("type='signal", "Unbalanced quotation marks in match rule"),
    ("member='A',arg0='it's'", "Unbalanced quotation marks in match rule"),
    ("type='bogus'", "Invalid message type (bogus) in match rule"),
    ("type=''", "Invalid message type () in match rule"),
    ("type='Signal'", "Invalid message type (Signal) in match rule"),
    ("type='invalid'", "Invalid message type (invalid) in match rule"),
    ("type='signal',type='signal'", "Key type specified twice in match rule"),
    ("sender='a.b',sender='a.b'", "Key sender specified twice in match rule"),
    ("interface='a.b',interface='c.d'", "Key interface specified twice in match rule"),
    ("member='A',member='B'", "Key member specified twice in match rule"),
    ("path='/a',path='/b'", "path or path_namespace specified twice in match rule"),
    ("path='/a',path_namespace='/b'", "path or path_namespace specified twice in match rule"),
    ("path_namespace='/a',path='/b'", "path or path_namespace specified twice in match rule"),
    ("destination=':1.0',destination=':1.0'", "Key destination specified twice in match rule"),
    ("arg0='a',arg0='b'", "Argument arg0 matched more than once in match rule"),
    ("arg0='a',arg0path='b'", "Argument arg0path matched more than once in match rule"),
    ("arg0='a',arg0namespace='b'", "Argument arg0namespace matched more than once in match rule"),
    ("arg3path='/a',arg3='b'", "Argument arg3 matched more than once in match rule"),
    ("sender='a'", "Sender name 'a' is invalid"),
    ("sender=''", "Sender name '' is invalid"),
    ("sender='a..b'", "Sender name 'a..b' is invalid"),
    ("interface='a'", "Interface name 'a' is invalid"),
    ("interface='a-b.c'", "Interface name 'a-b.c' is invalid"),
    (f"interface='{LONG_NAME}'", f"Interface name '{LONG_NAME}' is invalid"),
    ("member='a.b'", "Member name 'a.b' is invalid"),
    ("member=''", "Member name '' is invalid"),
    ("path='a'", "Path 'a' is invalid"),
    ("path=''", "Path '' is invalid"),
    ("path='/a/'", "Path '/a/' is invalid"),
    ("path_namespace='/a/'", "Path '/a/' is invalid"),
    ("path_namespace='a'", "Path 'a' is invalid"),
    ("destination='a'", "Destination name 'a' is invalid"),
    ("eavesdrop='yes'", "eavesdrop='yes' is invalid, it should be 'true' or 'false'"),
    ("eavesdrop=''", "eavesdrop='' is invalid, it should be 'true' or 'false'"),
    ("bogus='a'", 'Unknown key "bogus" in match rule'),
    ("Type='signal'", 'Unknown key "Type" in match rule'),
    ("error_name='a.b'", 'Unknown key "error_name" in match rule'),
    (
        "arg='a'",
        "Key 'arg' in match rule starts with 'arg' but lacks an arg number. "
        "Should be 'arg0' or 'arg7' for example.",
    ),
    (
        "argx='a'",
        "Key 'argx' in match rule starts with 'arg' but could not parse arg number. "
        "Should be 'arg0' or 'arg7' for example.",
    ),
    (
        "arg0foo='a'",
        "Key 'arg0foo' in match rule contains junk after argument number (0). "
        "Only 'arg0path' (for example) or 'arg0namespace' are valid",
    ),
    (
        "arg1namespace='a'",
        "Key 'arg1namespace' in match rule contains junk after argument number (1). "
        "Only 'arg1path' (for example) or 'arg0namespace' are valid",
    ),
    ("arg64='a'", "Key 'arg64' in match rule has arg number 64 but the maximum is 63."),
    ("arg64path='a'", "Key 'arg64path' in match rule has arg number 64 but the maximum is 63."),
    ("arg0namespace='a.'", "arg0namespace='a.' is not a valid prefix of a bus name"),
    ("arg0namespace=''", "arg0namespace='' is not a valid prefix of a bus name"),
    ("arg0namespace='1a.b'", "arg0namespace='1a.b' is not a valid prefix of a bus name"),
]
# Unusual rules that are accepted.
GOOD = [
    "",
    " ",
    "type='signal'",
    "type=signal",
    "type='signal',",
    "type='signal', ",
    " type='signal'",
    "type ='signal'",
    "type='signal',\tmember='A'",
    "type='signal',\n  member='A'",
    "type='sig'nal",
    "type='method_call'",
    "type='method_return'",
    "type='error'",
    "sender='org.freedesktop.DBus'",
    "sender=':1.0'",
    "interface='a.b',member='C',path='/',destination=':1.5',eavesdrop='false'",
    "eavesdrop='true',eavesdrop='false'",
    "path_namespace='/'",
    "arg0=''",
    "arg0='',arg1='',arg63=''",
    "arg0path='relative'",
    "arg0path=''",
    "arg63path='/'",
    "arg0namespace='a'",
    "arg0namespace='a-b.c'",
    r"arg0='it'\''s'",
    r"arg0=\'",
    r"arg0=a\b",
    "arg0='a,b=c'",
    "arg00='x'",
    "arg0='" + "x" * 1000 + "'",
]
# Pairs of spellings of the same rule.
SAME = [
    ("type='signal',member='A'", "member='A',type='signal'"),
    ("type='signal'", "type=signal"),
    ("type='signal'", " type ='signal',"),
    ("member='A',type='signal'", "member=A, type=signal"),
    ("arg0='a',arg1='b'", "arg1='b',arg0='a'"),
    ("", " "),
    (r"arg0='it'\''s'", r"arg0=it\'s"),
    ("type='signal',eavesdrop='false'", "type='signal'"),
    ("arg1='x'", "arg01='x'"),
]
# Pairs of different rules.
DIFFERENT = [
    ("type='signal'", "type='error'"),
    ("member='A'", "member='B'"),
    ("path='/a'", "path_namespace='/a'"),
    ("arg0='a.b'", "arg0namespace='a.b'"),
    ("arg0='/a'", "arg0path='/a'"),
    ("arg0='a'", "arg1='a'"),
    ("arg0='a'", "arg0='a',arg1='b'"),
    ("arg0=''", ""),
    ("type='signal'", "type='signal',eavesdrop='true'"),
    ("sender='org.example.A'", "sender='org.example.B'"),
    ("interface='a.b'", "interface='a.b',member='C'"),
]


class TestRefused:
    @pytest.mark.parametrize(("rule", "reason"), BAD)
    def test_add(self, client: Client, rule: str, reason: str) -> None:
        """AddMatch of an invalid rule: MatchRuleInvalid, with the reason."""
        with pytest.raises(BusError) as caught:
            client.match(rule)
        assert (caught.value.name, caught.value.text) == (INVALID, reason)

    @pytest.mark.parametrize(("rule", "reason"), BAD[::7])
    def test_remove(self, client: Client, rule: str, reason: str) -> None:
        """RemoveMatch parses its rule in the same way."""
        with pytest.raises(BusError) as caught:
            client.driver("RemoveMatch", "s", rule)
        assert (caught.value.name, caught.value.text) == (INVALID, reason)

    @pytest.mark.parametrize("length", [1024, 1025, 5000])
    def test_length(self, client: Client, length: int) -> None:
        """A rule has at most 1024 bytes."""
        rule = "arg0='" + "x" * (length - 7) + "'"
        if length <= 1024:
            client.match(rule)
            return
        for member in ("AddMatch", "RemoveMatch"):
            with pytest.raises(BusError) as caught:
                client.driver(member, "s", rule)
            assert caught.value.name == "org.freedesktop.DBus.Error.LimitsExceeded"
            assert caught.value.text == f"Match rule text is {length} bytes, maximum is 1024"

    def test_many_keys(self, client: Client, other: Client) -> None:
        """A rule may have all existing keys."""
        rule = "type='signal',member='News'," + ",".join(f"arg{number}='{number}'" for number in range(14))
        client.match(rule)
        other.signal("News", "s" * 14, *map(str, range(14)))
        client.expect(member="News")
        other.signal("News", "s" * 14, *map(str, range(1, 15)))
        client.expect_nothing(other)


class TestAccepted:
    @pytest.mark.parametrize("rule", GOOD)
    def test_add_and_remove(self, client: Client, rule: str) -> None:
        client.match(rule)
        assert client.driver("RemoveMatch", "s", rule) is None
        with pytest.raises(BusError) as caught:
            client.driver("RemoveMatch", "s", rule)
        assert caught.value.name == NOT_FOUND


class TestRemoveMatch:
    TEXT = "The given match rule wasn't found and can't be removed"

    def test_not_there(self, client: Client) -> None:
        """RemoveMatch: an error if the rule is not found."""
        with pytest.raises(BusError) as caught:
            client.driver("RemoveMatch", "s", "type='signal'")
        assert (caught.value.name, caught.value.text) == (NOT_FOUND, self.TEXT)

    def test_of_another_connection(self, client: Client, other: Client) -> None:
        """Rules belong to their connection."""
        other.match("type='signal'")
        with pytest.raises(BusError) as caught:
            client.driver("RemoveMatch", "s", "type='signal'")
        assert (caught.value.name, caught.value.text) == (NOT_FOUND, self.TEXT)
        assert other.driver("RemoveMatch", "s", "type='signal'") is None

    def test_counted(self, client: Client, other: Client) -> None:
        """A rule that was added twice must be removed twice."""
        rule = "type='signal',interface='org.example.Interface'"
        for _ in range(3):
            client.match(rule)
        other.signal("News", "u", 1)
        client.expect(member="News", body=(1,))
        for number in range(2, 4):
            client.driver("RemoveMatch", "s", rule)
            other.signal("News", "u", number)
            client.expect(member="News", body=(number,))
        client.driver("RemoveMatch", "s", rule)
        other.signal("News", "u", 4)
        client.expect_nothing(other)
        with pytest.raises(BusError) as caught:
            client.driver("RemoveMatch", "s", rule)
        assert caught.value.name == NOT_FOUND

    @pytest.mark.parametrize(("one", "two"), SAME)
    def test_same(self, client: Client, one: str, two: str) -> None:
        """Rules are compared by their meaning, not by their spelling."""
        client.match(one)
        assert client.driver("RemoveMatch", "s", two) is None
        client.match(two)
        assert client.driver("RemoveMatch", "s", one) is None

    @pytest.mark.parametrize(("one", "two"), DIFFERENT)
    def test_different(self, client: Client, one: str, two: str) -> None:
        for added, removed in ((one, two), (two, one)):
            client.match(added)
            with pytest.raises(BusError) as caught:
                client.driver("RemoveMatch", "s", removed)
            assert caught.value.name == NOT_FOUND
            client.driver("RemoveMatch", "s", added)
