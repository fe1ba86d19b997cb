"""Match rules as a link reads and writes them, compared with those that the bus itself understands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibus.link import rules

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
KEY = st.sampled_from(["member", "interface", "path", "arg0", "arg63", "arg5path", "arg0namespace"])


class TestParse:
    """The specification's quotation: '' within '', and \\' outside."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", {}),
            ("member='A'", {"member": "A"}),
            ("member=A", {"member": "A"}),
            (" member='A', path='/'", {"member": "A", "path": "/"}),
            ("arg0='it'\\''s'", {"arg0": "it's"}),
            ("arg0='a,b=c'", {"arg0": "a,b=c"}),
            ("arg0=\\'", {"arg0": "'"}),
            ("arg0='\\'", {"arg0": "\\"}),
            ("arg0=a\\b", {"arg0": "a\\b"}),
            ("member='A',", {"member": "A"}),
        ],
    )
    def test_valid(self, text: str, expected: dict[str, str]) -> None:
        assert dict(rules.parse(text)) == expected

    @pytest.mark.parametrize("text", ["member", "member='A", "='A'", "member='A',member='B'", "x" * 2000])
    def test_invalid(self, text: str) -> None:
        with pytest.raises(ValueError):
            rules.parse(text)

    @given(st.dictionaries(KEY, TEXT, max_size=4), TEXT)
    def test_what_is_written_is_read_again(self, pairs: dict[str, str], name: str) -> None:
        text = rules.text_of(name, frozenset(pairs.items()))
        if len(text) <= rules.MAX_TEXT:
            assert dict(rules.parse(text)) == {"type": "signal", "sender": name} | pairs

    @given(TEXT)
    def test_any_text(self, text: str) -> None:
        try:
            found = rules.parse(text)
        except ValueError:
            return
        assert all(isinstance(key, str) and key for key, _ in found)


class TestAbout:
    """Which rules are about signals of the owner of a name."""

    NAMES = frozenset({"org.example.A", ":1.5"})

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", frozenset()),
            ("type='signal'", frozenset()),
            ("sender='org.example.A',member='M'", frozenset({("member", "M")})),
            ("sender=':1.5'", frozenset()),
            ("member='M',eavesdrop='true'", frozenset({("member", "M")})),
            ("sender='org.example.B'", None),
            ("type='method_call'", None),
            ("destination=':1.9'", None),
            ("interface='org.freedesktop.DBus'", None),
            ("sender='org.freedesktop.DBus'", None),
        ],
    )
    def test_about(self, text: str, expected: rules.Rule | None) -> None:
        assert rules.about(rules.parse(text), self.NAMES) == expected

    @pytest.mark.parametrize(
        "key", ["sender", "type", "destination", "eavesdrop", "arg64", "argx", "", "a='b',c"]
    )
    def test_keys_that_another_host_may_not_set(self, key: str) -> None:
        assert not rules.is_valid(frozenset({(key, "x")}))

    @pytest.mark.parametrize("key", ["arg0", "arg9", "arg63", "arg10path", "arg0namespace", "path_namespace"])
    def test_keys_that_it_may(self, key: str) -> None:
        assert rules.is_valid(frozenset({(key, "x")}))
