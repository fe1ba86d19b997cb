"""The specification's "Authentication Protocol", section by section."""

from __future__ import annotations

import pytest

GUID = "0123456789abcdef0123456789abcdef"
ALL = "REJECTED EXTERNAL DBUS_COOKIE_SHA1 ANONYMOUS"
MY_UID = "AUTH EXTERNAL 31303030"


class TestProtocolOverview:
    def test_unknown_command(self, converse):
        """The protocol is case-sensitive."""
        client = converse()
        assert client.say("auth EXTERNAL 31303030") == 'ERROR "Unknown command"'
        assert client.goes_on

    @pytest.mark.parametrize("command", [b"AUTH EXTERNAL \xc3\xa9", b"\xff", b"AUTH\0", b"\0"])
    def test_ascii(self, converse, command):
        """All bytes must be in the ASCII character set."""
        client = converse()
        assert client.send(command + b"\r\n") == b'ERROR "Command contained non-ASCII"\r\n'
        assert client.goes_on

    def test_extension(self, converse):
        """Unofficial extensions to the command set must begin with the letters "EXTENSION_"."""
        assert converse().say("EXTENSION_COM_MYDOMAIN_DO_STUFF") == 'ERROR "Unknown command"'

    def test_line_end(self, converse):
        """Each line ends with \\r\\n: one of the two alone is part of the line."""
        client = converse()
        assert client.send(b"AUTH\nAUTH\rAUTH") == b""
        assert client.send(b"\r\n") == b'ERROR "Unknown command"\r\n'

    @pytest.mark.parametrize("line", ["AUTH \t EXTERNAL \t 31303030", "AUTH\tEXTERNAL\t31303030"])
    def test_blanks_separate(self, converse, line):
        """Words may be separated by any number of spaces and tabs, as in the reference."""
        assert converse().say(line) == f"OK {GUID}"

    @pytest.mark.parametrize("line", [" AUTH", "", " "])
    def test_no_command(self, converse, line):
        """Each line begins with an all-caps ASCII command name."""
        assert converse().say(line) == 'ERROR "Unknown command"'

    def test_long_line(self, converse):
        """A line of 16384 bytes is accepted, one more byte disconnects the client, as in the reference."""
        client = converse()
        assert client.say("A" * 16382) == 'ERROR "Unknown command"'
        assert client.goes_on
        assert client.say("A" * 16383) == ""
        assert client.rejected.reason == "a command is too long"

    def test_unterminated_line(self, converse):
        """An overlong line is rejected before its end arrives."""
        client = converse()
        for _ in range(4):
            assert client.send(b"A" * 4096) == b""
        assert client.goes_on
        client.send(b"A")
        assert client.rejected.reason == "a command is too long"

    def test_replies_not_read(self, converse):
        """A client that sends commands without reading the replies is disconnected, as by the reference."""
        client = converse()
        replies = client.send(b"\r\n" * 20000)
        assert client.rejected.reason == "replies are not read"
        assert 16384 < len(replies) < 17000


class TestCredentialsPassingNulByte:
    def test_nul_is_needed(self, converse):
        """If the first byte received is not a nul byte, the server may disconnect that client."""
        client = converse(nul=False)
        assert client.send(b"AUTH\r\n") == b""
        assert client.rejected.reason == "the first byte is not nul"

    def test_nul_byte_alone(self, converse):
        """The text protocol described in this document begins after the single nul byte."""
        client = converse(nul=False)
        assert client.send(b"\0") == b""
        assert client.say(MY_UID) == f"OK {GUID}"

    def test_another_nul(self, converse):
        """A nul byte in any context other than the initial byte is an error."""
        assert (
            converse().send(b"\0" + MY_UID.encode() + b"\r\n") == b'ERROR "Command contained non-ASCII"\r\n'
        )

    def test_input_after_disconnect(self, converse):
        """Input after the disconnect is ignored."""
        client = converse(nul=False)
        client.send(b"x")
        assert client.send(b"\0AUTH\r\n") == b""
        assert client.rejected


class TestNonce:
    """Nonce-authenticated TCP Sockets: after an accept, the server reads 16 bytes from the socket."""

    NONCE = bytes(range(16))

    def test_correct_nonce(self, converse):
        """If the nonce matches, the transport behaves like an ordinary tcp transport."""
        client = converse(nul=False, nonce=self.NONCE)
        assert client.send(self.NONCE) == b""
        assert client.send(b"\0AUTH\r\n") == ALL.encode() + b"\r\n"

    def test_wrong_nonce(self, converse):
        """If the bytes do not match the nonce, the server MUST immediately drop the connection."""
        client = converse(nul=False, nonce=self.NONCE)
        assert client.send(bytes(17) + b"AUTH\r\n") == b""
        assert client.rejected.reason == "the nonce is wrong"

    def test_missing_nonce(self, converse):
        """The start of the protocol is no nonce."""
        client = converse(nul=False, nonce=self.NONCE)
        assert client.send(b"\0AUTH ANONYMOUS\r\n") == b""
        assert client.rejected

    def test_nul_after_nonce(self, converse):
        """The nul byte follows the nonce."""
        client = converse(nul=False, nonce=self.NONCE)
        client.send(self.NONCE + b"A")
        assert client.rejected

    def test_leftover(self, converse):
        """Input after BEGIN is the leftover, with and without a nonce."""
        client = converse(nul=False, nonce=self.NONCE)
        client.send(self.NONCE + b"\0AUTH ANONYMOUS\r\nBEGIN\r\nl")
        assert client.authenticated.leftover == b"l"


class TestAuthCommand:
    def test_without_arguments(self, converse):
        """If an AUTH command has no arguments, it is a request to list available mechanisms."""
        assert converse().say("AUTH") == ALL

    def test_blank_arguments(self, converse):
        assert converse().say("AUTH  ") == ALL

    def test_unsupported(self, converse):
        """If the server does not support the mechanism, it sends a REJECTED listing those it does support."""
        client = converse()
        assert client.say("AUTH KERBEROS_V4 abcd") == ALL
        assert client.goes_on

    def test_not_configured(self, converse):
        """A mechanism that is not configured is not supported."""
        client = converse(allowed=["EXTERNAL"])
        assert client.say("AUTH ANONYMOUS") == "REJECTED EXTERNAL"

    def test_initial_response(self, converse):
        """The argument is as if it were the argument to an initial DATA command."""
        assert converse().say(MY_UID) == f"OK {GUID}"

    @pytest.mark.parametrize("response", ["willy", "31303030 ", "3130 3030", "0x31", "31303030\n", "3z"])
    def test_bad_hex(self, converse, response):
        """An invalid hex response gets an ERROR, and the server continues as if it had not been received."""
        client = converse()
        assert client.say(f"AUTH EXTERNAL {response}") == 'ERROR "Invalid hex encoding"'
        assert client.say(MY_UID) == f"OK {GUID}"

    def test_odd_number_of_digits(self, converse):
        """A single final digit is the high half of a byte, as in the reference: 3 is "0"."""
        assert converse(0).say("AUTH EXTERNAL 3") == f"OK {GUID}"

    def test_too_many_rejections(self, converse):
        """If the client is rejected too many times the server must disconnect the client."""
        client = converse()
        for _ in range(5):
            assert client.say("AUTH") == ALL
            assert client.goes_on
        assert client.say("AUTH EXTERNAL 30") == ALL
        assert client.rejected.reason.startswith("rejected too often")

    def test_rejections_pipelined(self, converse):
        """A client that pipelines more attempts than are allowed gets no more replies."""
        client = converse()
        assert client.send(b"AUTH\r\n" * 100).decode() == f"{ALL}\r\n" * 6
        assert client.rejected


class TestBeginCommand:
    """The first octet after the \\r\\n of BEGIN must be the first octet of the stream of messages."""

    HANDSHAKE = b"\0AUTH EXTERNAL 31303030\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"

    def test_all_at_once(self, converse):
        """A client may send everything before it reads a byte, even its first message, as sd-bus does."""
        client = converse(nul=False)
        assert client.send(self.HANDSHAKE + b"l\1\0\1...").decode() == f"OK {GUID}\r\nAGREE_UNIX_FD\r\n"
        assert client.authenticated.leftover == b"l\1\0\1..."

    def test_messages_are_not_commands(self, converse):
        """The server must not accept additional commands after the BEGIN command has been received."""
        client = converse(nul=False)
        client.send(self.HANDSHAKE + b"CANCEL\r\n")
        assert client.authenticated.leftover == b"CANCEL\r\n"

    def test_large_leftover(self, converse):
        """The limits apply to the authentication, not to the data after it."""
        client = converse(nul=False)
        client.send(self.HANDSHAKE + bytes(100_000))
        assert client.authenticated.leftover == bytes(100_000)

    def test_no_leftover(self, converse):
        client = converse(nul=False)
        client.send(self.HANDSHAKE)
        assert client.authenticated.leftover == b""

    def test_later_data_is_not_accepted(self, converse):
        """Later input belongs to the message stream: feeding it here would lose it."""
        client = converse(nul=False)
        client.send(self.HANDSHAKE)
        with pytest.raises(RuntimeError):
            client.send(b"l\1\0\1")


class TestAuthenticationExamples:
    def test_figure_1(self, converse):
        """Example of successful EXTERNAL authentication."""
        client = converse()
        assert client.say("AUTH EXTERNAL 31303030") == f"OK {GUID}"
        client.say("BEGIN")
        assert client.authenticated

    def test_figure_2(self, skey):
        """Example of finding out mechanisms then picking one."""
        assert skey.say("AUTH") == "REJECTED KERBEROS_V4 SKEY"
        assert skey.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"
        assert skey.say("DATA 8ac876e8f68ee9809bfa876e6f9876") == f"OK {GUID}"
        skey.say("BEGIN")
        assert skey.authenticated

    def test_figure_3(self, converse):
        """Example of client sends unknown command then falls back to regular auth."""
        client = converse()
        assert client.say("FOOBAR").startswith("ERROR")
        assert client.say("AUTH EXTERNAL 31303030") == f"OK {GUID}"

    def test_figure_4(self, skey):
        """Example of server doesn't support initial auth mechanism."""
        assert skey.say("AUTH EXTERNAL") == "REJECTED KERBEROS_V4 SKEY"
        assert skey.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"

    def test_figure_5(self, skey):
        """Example of wrong password or the like followed by successful retry."""
        assert skey.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"
        assert skey.say("DATA 8ac876e8f68ee980") == "REJECTED KERBEROS_V4 SKEY"
        assert skey.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"
        assert skey.say("DATA 8ac876e8f68ee9809bfa876e6f9876") == f"OK {GUID}"

    def test_figure_6(self, skey):
        """Example of skey cancelled and restarted."""
        assert skey.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"
        assert skey.say("CANCEL") == "REJECTED KERBEROS_V4 SKEY"
        assert skey.say("AUTH SKEY 7ab83f32ee") == "DATA 8799cabb2ea93e"
        assert skey.say("DATA 8ac876e8f68ee9809bfa876e6f9876") == f"OK {GUID}"

    @pytest.mark.parametrize("possible", [True, False])
    def test_figures_7_and_8(self, converse, possible):
        """Example of successful and of unsuccessful negotiation of Unix FD passing."""
        client = converse(fd_passing=possible)
        client.say("AUTH EXTERNAL 31303030")
        assert client.say("NEGOTIATE_UNIX_FD").split()[0] == ("AGREE_UNIX_FD" if possible else "ERROR")
        client.say("BEGIN")
        assert client.authenticated.fd_passing is possible
