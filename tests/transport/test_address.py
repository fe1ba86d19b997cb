"""The specification's "Server Addresses"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibus.transport.address import Address, AddressError, escape, join, parse, unescape

UNESCAPED = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz/.\\*"


class TestEscaping:
    def test_optionally_escaped(self):
        """The set of optionally-escaped bytes is [-0-9A-Za-z_/.\\*]."""
        assert escape(UNESCAPED) == UNESCAPED
        assert unescape(UNESCAPED) == UNESCAPED

    @pytest.mark.parametrize("byte", sorted(set(range(1, 128)) - set(UNESCAPED.encode() + b"%")))
    def test_all_others(self, byte):
        """Each other byte must be replaced with an ASCII percent and two hex digits."""
        assert escape(chr(byte)) == f"%{byte:02x}"
        with pytest.raises(AddressError, match="should have been escaped"):
            unescape(chr(byte))

    def test_bytes_not_characters(self):
        """To escape, each byte (note, not character) must be replaced."""
        assert escape("é") == "%c3%a9"
        assert unescape("%c3%a9") == "é"

    def test_not_utf8(self):
        """A path need not be valid text."""
        assert escape(unescape("/tmp/%ff")) == "/tmp/%ff"

    def test_may_be_escaped(self):
        """The optionally-escaped bytes may be escaped if desired, in digits of either case."""
        assert unescape("%2ftmp%2Fa%2d") == "/tmp/a-"

    @pytest.mark.parametrize("text", ["%", "a%", "%4", "a%4"])
    def test_too_short(self, text):
        """It is an error if a % byte does not have two hex digits following."""
        with pytest.raises(AddressError, match="percent character was not followed by two hex digits"):
            unescape(text)

    @pytest.mark.parametrize("text", ["%zz", "%4z", "%z4", "% 4", "%+4", "%%4", "%4%", "%٣٣"])
    def test_not_hex(self, text):
        with pytest.raises(AddressError, match="followed by characters other than hex digits"):
            unescape(text)

    @pytest.mark.parametrize(("text", "character"), [("a b", " "), ("a=b", "="), ("~", "~"), ("é", r"\\xc3")])
    def test_not_escaped(self, text, character):
        """It is an error if a non-optionally-escaped byte is seen unescaped."""
        with pytest.raises(
            AddressError, match=f"^In D-Bus address, character '{character}' should have been"
        ):
            unescape(text)

    def test_nul(self):
        """C would read a value with a nul byte as another file name than Python."""
        with pytest.raises(AddressError, match="nul byte"):
            unescape("/tmp/a%00b")

    @given(st.binary(max_size=50).map(lambda data: data.replace(b"\0", b"").decode(errors="surrogateescape")))
    def test_round_trip(self, value):
        assert unescape(escape(value)) == value
        assert set(escape(value)) <= {*UNESCAPED, "%"}


class TestFormat:
    def test_example(self):
        """A transport name followed by a colon, and then keys and values in the form key=value."""
        assert parse("unix:path=/tmp/dbus-test") == [Address("unix", {"path": "/tmp/dbus-test"})]

    def test_keys_are_optional(self):
        """... an optional, comma-separated list."""
        assert parse("systemd:") == [Address("systemd", {})]

    def test_several_keys(self):
        assert parse("tcp:host=127.0.0.1,port=4242,family=ipv4") == [
            Address("tcp", {"host": "127.0.0.1", "port": "4242", "family": "ipv4"})
        ]

    def test_values_are_unescaped(self):
        assert parse("unix:path=/tmp/a%3bb%2cc") == [Address("unix", {"path": "/tmp/a;b,c"})]

    def test_list(self):
        """Multiple server addresses can be separated by a semi-colon."""
        assert parse("unix:path=/tmp/dbus-test;unix:path=/tmp/dbus-test2") == [
            Address("unix", {"path": "/tmp/dbus-test"}),
            Address("unix", {"path": "/tmp/dbus-test2"}),
        ]

    @pytest.mark.parametrize("text", ["unix:path=/tmp/a;", "unix:path=/tmp/a,", "unix:path=/tmp/a,;"])
    def test_separator_at_the_end(self, text):
        """A superfluous separator at the end is accepted, as in the reference."""
        assert parse(text) == [Address("unix", {"path": "/tmp/a"})]

    def test_same_key_twice(self):
        """The first one is used, as in the reference."""
        assert parse("unix:path=/tmp/a,path=/tmp/b") == [Address("unix", {"path": "/tmp/a"})]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "Empty address ''"),
            (";", "Address does not contain a colon"),
            ("unix", "Address does not contain a colon"),
            ("unix:path=/tmp/a;;", "Address does not contain a colon"),
            ("unix:path", "'=' character not found or has no value following it"),
            ("unix:path=", "'=' character not found or has no value following it"),
            ("unix:=/tmp/a", "'=' character not found or has no value following it"),
            ("unix:path=/tmp/a,,", "'=' character not found or has no value following it"),
            ("unix:,", "'=' character not found or has no value following it"),
            ("unix:path=a=b", "In D-Bus address, character '=' should have been escaped"),
            (
                "unix:path=/tmp/a,path=%",
                "In D-Bus address, percent character was not followed by two hex digits",
            ),
        ],
    )
    def test_errors(self, text, message):
        """The texts are the reference's."""
        with pytest.raises(AddressError) as error:
            parse(text)
        assert str(error.value) == message

    @given(st.text("unix:path=;,%/40aé ", max_size=40))
    def test_any_text(self, text):
        """Any text is a list of addresses or an AddressError."""
        try:
            addresses = parse(text)
        except AddressError:
            return
        assert parse(join(addresses)) == addresses

    @given(
        st.lists(
            st.builds(
                Address,
                st.from_regex(r"[a-z-]*", fullmatch=True),
                st.dictionaries(
                    st.from_regex(r"[a-z]+", fullmatch=True),
                    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
                    max_size=4,
                ),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def test_written_and_read(self, addresses):
        assert parse(join(addresses)) == addresses
