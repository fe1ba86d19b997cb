"""The specification's "Authentication mechanisms": EXTERNAL, ANONYMOUS, and the selection that is offered."""

from __future__ import annotations

import os

import pytest

from omnibus.auth.anonymous import Anonymous
from omnibus.auth.external import External
from omnibus.auth.mechanism import Accepted, Challenge, Refused
from omnibus.auth.mechanisms import UnsupportedMechanism, choose


class TestExternal:
    def test_own_uid(self):
        """An authorization identity of ASCII decimal digits represents a numeric user ID."""
        assert External(1000).respond(b"1000") == Accepted(1000)

    def test_root(self):
        assert External(0).respond(b"0") == Accepted(0)

    def test_other_uid(self):
        """Not even root may claim another uid."""
        assert isinstance(External(0).respond(b"1000"), Refused)

    def test_no_initial_response(self):
        """Asked for an identity, the client may send one..."""
        mechanism = External(1000)
        assert mechanism.respond(b"") == Challenge(b"")
        assert mechanism.respond(b"1000") == Accepted(1000)

    def test_empty_identity(self):
        """... or an empty one: then its identity is that of the credentials."""
        mechanism = External(1000)
        assert mechanism.respond(b"") == Challenge(b"")
        assert mechanism.respond(b"") == Accepted(1000)

    def test_wrong_identity_when_asked(self):
        mechanism = External(1000)
        mechanism.respond(b"")
        assert isinstance(mechanism.respond(b"0"), Refused)

    @pytest.mark.parametrize("identity", [b"", b"0", b"1000"])
    def test_no_credentials(self, identity):
        """Without credentials from the kernel there is nothing to compare with."""
        assert isinstance(External(None).respond(identity), Refused)

    @pytest.mark.parametrize(
        "identity", [b"root", b"+0", b"-0", b" 0", b"0x0", b"0\0", b"\xd9\xa0", b"0" * 5000]
    )
    def test_not_decimal(self, identity):
        """Non-numeric authorization identities are not required to be accepted."""
        assert isinstance(External(0).respond(identity), Refused)


class TestAnonymous:
    @pytest.mark.parametrize(
        "trace", [b"", b"libdbus 1.15.12", b"me@example.com", "Zoë".encode(), b"\xef\xbf\xbf"]
    )
    def test_trace(self, trace):
        """It does not perform any authentication at all."""
        assert Anonymous(1000).respond(trace) == Accepted(None)

    @pytest.mark.parametrize("trace", [b"\xff", b"a\0b", b"\xed\xa0\x80", b"\xc0\x80"])
    def test_not_text(self, trace):
        """RFC 4505: trace information is UTF-8."""
        assert isinstance(Anonymous(1000).respond(trace), Refused)


class TestChoice:
    def test_all(self):
        """Without <auth>, all known mechanisms are allowed."""
        assert list(choose([], {})) == ["EXTERNAL", "DBUS_COOKIE_SHA1", "ANONYMOUS"]

    def test_some(self):
        """They are listed in the order of preference, whatever the order of the configuration."""
        assert list(choose(["ANONYMOUS", "EXTERNAL"], {})) == ["EXTERNAL", "ANONYMOUS"]

    def test_unsupported(self):
        with pytest.raises(UnsupportedMechanism) as error:
            choose(["EXTERNAL", "KERBEROS_V4"], {})
        assert str(error.value) == (
            'Unsupported auth mechanism "KERBEROS_V4" in bus config file detected. '
            'Supported mechanisms are "EXTERNAL, DBUS_COOKIE_SHA1, ANONYMOUS".'
        )

    def test_cookies_in_home(self, tmp_path, converse):
        """The keyring is $HOME's, and is read only when a client asks for it."""
        mechanisms = choose(["DBUS_COOKIE_SHA1"], {"HOME": str(tmp_path)})
        assert list(tmp_path.iterdir()) == []
        client = converse(mechanisms=mechanisms)
        assert client.say(f"AUTH DBUS_COOKIE_SHA1 {str(os.geteuid()).encode().hex()}").startswith("DATA ")
        assert (tmp_path / ".dbus-keyrings/org_freedesktop_general").exists()
