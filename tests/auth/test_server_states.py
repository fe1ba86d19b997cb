"""The specification's "Server states": every state, every transition, every error."""

from __future__ import annotations

import pytest

GUID = "0123456789abcdef0123456789abcdef"
ALL = "REJECTED EXTERNAL DBUS_COOKIE_SHA1 ANONYMOUS"
MY_UID = "AUTH EXTERNAL 31303030"


class TestServerStateWaitingForAuth:
    def test_auth(self, skey):
        """Receive AUTH → send REJECTED [mechs], goto WaitingForAuth."""
        assert skey.say("AUTH") == "REJECTED KERBEROS_V4 SKEY"
        assert skey.say("DATA") == 'ERROR "Not currently in an auth conversation"'

    def test_invalid_mechanism(self, skey):
        """MECH not valid mechanism → send REJECTED [mechs], goto WaitingForAuth."""
        assert skey.say("AUTH EXTERNAL") == "REJECTED KERBEROS_V4 SKEY"
        assert skey.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"

    def test_continue(self, skey):
        """MECH(RESP) returns CONTINUE(CHALL) → send DATA CHALL, goto WaitingForData."""
        assert skey.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"
        assert skey.say("AUTH") == 'ERROR "Sent AUTH while another AUTH in progress"'

    def test_ok(self, converse):
        """MECH(RESP) returns OK → send OK, goto WaitingForBegin."""
        client = converse()
        assert client.say(MY_UID) == f"OK {GUID}"
        assert client.say("AUTH") == 'ERROR "Sent AUTH while expecting BEGIN"'

    def test_rejected(self, skey):
        """MECH(RESP) returns REJECTED → send REJECTED [mechs], goto WaitingForAuth."""
        assert skey.say("AUTH SKEY 00") == "REJECTED KERBEROS_V4 SKEY"
        assert skey.say("CANCEL") == 'ERROR "Not currently in an auth conversation"'

    def test_begin(self, converse):
        """Receive BEGIN → terminate auth conversation, disconnect."""
        client = converse()
        assert client.say("BEGIN") == ""
        assert client.rejected.reason == "BEGIN before the end of authentication"

    def test_error(self, converse):
        """Receive ERROR → send REJECTED [mechs], goto WaitingForAuth."""
        client = converse()
        assert client.say('ERROR "why"') == ALL
        assert client.say(MY_UID) == f"OK {GUID}"

    @pytest.mark.parametrize(
        ("command", "text"),
        [
            ("CANCEL", "Not currently in an auth conversation"),
            ("DATA", "Not currently in an auth conversation"),
            ("DATA 30", "Not currently in an auth conversation"),
            ("NEGOTIATE_UNIX_FD", "Need to authenticate first"),
            ("OK", "Unknown command"),
            ("REJECTED", "Unknown command"),
            ("AGREE_UNIX_FD", "Unknown command"),
        ],
    )
    def test_anything_else(self, converse, command, text):
        """Receive anything else → send ERROR, goto WaitingForAuth."""
        client = converse()
        assert client.say(command) == f'ERROR "{text}"'
        assert client.say(MY_UID) == f"OK {GUID}"


class TestServerStateWaitingForData:
    @pytest.fixture
    def client(self, skey):
        assert skey.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"
        return skey

    def test_continue(self, converse):
        """MECH(RESP) returns CONTINUE(CHALL) → send DATA CHALL, goto WaitingForData."""
        client = converse()
        assert client.say("AUTH EXTERNAL") == "DATA"
        assert client.say("DATA 31303030") == f"OK {GUID}"

    def test_ok(self, client):
        """MECH(RESP) returns OK → send OK, goto WaitingForBegin."""
        assert client.say("DATA 8ac876e8f68ee9809bfa876e6f9876") == f"OK {GUID}"
        assert client.say("DATA") == 'ERROR "Sent DATA while expecting BEGIN"'

    def test_rejected(self, client):
        """MECH(RESP) returns REJECTED → send REJECTED [mechs], goto WaitingForAuth."""
        assert client.say("DATA 00") == "REJECTED KERBEROS_V4 SKEY"
        assert client.say("DATA 8ac876e8f68ee9809bfa876e6f9876") == (
            'ERROR "Not currently in an auth conversation"'
        )

    def test_bad_hex(self, client):
        """The server that sent the error must continue as if the command had never been received."""
        assert client.say("DATA xyz") == 'ERROR "Invalid hex encoding"'
        assert client.say("DATA 8ac876e8f68ee9809bfa876e6f9876") == f"OK {GUID}"

    def test_begin(self, client):
        """Receive BEGIN → terminate auth conversation, disconnect."""
        assert client.say("BEGIN") == ""
        assert client.rejected

    @pytest.mark.parametrize("command", ["CANCEL", "ERROR", "ERROR not now"])
    def test_cancel_and_error(self, client, command):
        """Receive CANCEL or ERROR → send REJECTED [mechs], goto WaitingForAuth."""
        assert client.say(command) == "REJECTED KERBEROS_V4 SKEY"
        assert client.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"

    @pytest.mark.parametrize(
        ("command", "text"),
        [
            ("AUTH SKEY 7ab83f32ee", "Sent AUTH while another AUTH in progress"),
            ("NEGOTIATE_UNIX_FD", "Need to authenticate first"),
            ("OK", "Unknown command"),
            ("REJECTED", "Unknown command"),
            ("FOOBAR", "Unknown command"),
        ],
    )
    def test_anything_else(self, client, command, text):
        """Receive anything else → send ERROR, goto WaitingForData."""
        assert client.say(command) == f'ERROR "{text}"'
        assert client.say("DATA 8ac876e8f68ee9809bfa876e6f9876") == f"OK {GUID}"


class TestServerStateWaitingForBegin:
    @pytest.fixture
    def client(self, converse):
        client = converse()
        assert client.say(MY_UID) == f"OK {GUID}"
        return client

    @pytest.mark.parametrize("command", ["BEGIN", "BEGIN now"])
    def test_begin(self, client, command):
        """Receive BEGIN → terminate auth conversation, client authenticated."""
        assert client.say(command) == ""
        assert client.authenticated.uid == 1000
        assert not client.authenticated.fd_passing

    def test_negotiate(self, client):
        """Receive NEGOTIATE_UNIX_FD → send AGREE_UNIX_FD, goto WaitingForBegin."""
        assert client.say("NEGOTIATE_UNIX_FD") == "AGREE_UNIX_FD"
        assert client.say("BEGIN") == ""
        assert client.authenticated.fd_passing

    def test_negotiate_twice(self, client):
        assert client.say("NEGOTIATE_UNIX_FD") == "AGREE_UNIX_FD"
        assert client.say("NEGOTIATE_UNIX_FD") == "AGREE_UNIX_FD"

    def test_negotiate_impossible(self, converse):
        """It shall respond ERROR if the transport does not support Unix file descriptor passing."""
        client = converse(fd_passing=False)
        client.say(MY_UID)
        assert client.say("NEGOTIATE_UNIX_FD").startswith('ERROR "Unix FD passing not supported')
        assert client.say("BEGIN") == ""
        assert not client.authenticated.fd_passing

    @pytest.mark.parametrize("command", ["CANCEL", "ERROR"])
    def test_cancel_and_error(self, client, command):
        """Receive CANCEL or ERROR → send REJECTED [mechs], goto WaitingForAuth."""
        assert client.say(command) == ALL
        assert client.say("BEGIN") == ""
        assert client.rejected

    def test_cancelled_identity_is_gone(self, client):
        """On receiving the CANCEL command, the server must abort the current authentication exchange."""
        client.say("CANCEL")
        client.say("AUTH ANONYMOUS")
        client.say("BEGIN")
        assert client.authenticated.uid is None

    @pytest.mark.parametrize(
        ("command", "text"),
        [
            (MY_UID, "Sent AUTH while expecting BEGIN"),
            ("DATA", "Sent DATA while expecting BEGIN"),
            ("OK", "Unknown command"),
            ("AGREE_UNIX_FD", "Unknown command"),
            ("FOOBAR", "Unknown command"),
        ],
    )
    def test_anything_else(self, client, command, text):
        """Receive anything else → send ERROR, goto WaitingForBegin."""
        assert client.say(command) == f'ERROR "{text}"'
        client.say("BEGIN")
        assert client.authenticated.uid == 1000
