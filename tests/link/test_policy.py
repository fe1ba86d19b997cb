"""Who may do what: the policies of both buses, the export list, and what is forged."""

from __future__ import annotations

import pwd
import signal
import subprocess

import pytest

from support.message import Flag
from support.raw import DEADLINE, BusError

from .conftest import NAME, PROGRAM, USER_A, USER_B, Linked, StartLink

ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"

OPEN = """<policy context="default">
  <allow send_destination="*" eavesdrop="true"/>
  <allow eavesdrop="true"/>
  <allow own="*"/>
  <allow user="*"/>
</policy>"""


class TestUsers:
    """Everything of the other host has the user of that host."""

    def test_uid_of_a_remote_client_and_of_a_remote_service(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        client.start_call(NAME, "Register")
        caller = str(service.take(member="Register").sender)
        uid = service.driver("GetConnectionUnixUser", "s", caller)
        assert uid == pwd.getpwnam(USER_B).pw_uid
        assert client.driver("GetConnectionUnixUser", "s", NAME) == pwd.getpwnam(USER_A).pw_uid

    def test_it_has_no_group_of_the_link(self, linked: Linked) -> None:
        """The link runs as root, and its groups are not lent."""
        service, client = linked.service(), linked.b.connect()
        client.start_call(NAME, "Register")
        caller = str(service.take(member="Register").sender)
        found = service.driver("GetConnectionCredentials", "s", caller)
        groups = found.get("UnixGroupIDs")
        if groups is not None:
            assert groups.value == [pwd.getpwnam(USER_B).pw_gid]

    def test_root(self, start_link: StartLink) -> None:
        """Agents of some services answer root only."""
        linked = start_link(user_a="root")
        service, agent = linked.service(), linked.b.connect()
        assert agent.driver("GetConnectionUnixUser", "s", NAME) == 0
        agent.start_call(NAME, "Register")
        serial = service.start_call(str(service.take(member="Register").sender), "GetSecrets")
        call = agent.take(member="GetSecrets")
        assert call.sender == linked.stand_in()
        agent.reply(call, "s", "secret")
        assert service.reply_to(serial).body == ("secret",)

    def test_no_root_where_something_is_exported(self, start_link: StartLink) -> None:
        """A reload that would let root call services here is refused, and so is such a start."""
        linked = start_link(user_a="root")
        service, stand_in = linked.service(), linked.stand_in()
        text = linked.link.file.read_text() + '[bus.b.export]\n"org.example.Other" = { to = ["a"] }\n'
        linked.link.file.write_text(text)
        linked.link.process.send_signal(signal.SIGHUP)
        linked.link.wait_for("left as it was: b: 'root' is root")
        client = linked.b.connect()
        serial = client.start_call(NAME, "Read")
        service.reply(service.take(member="Read"))
        assert client.reply_to(serial).sender == stand_in
        done = subprocess.run([PROGRAM, linked.link.file], capture_output=True, text=True, timeout=DEADLINE)
        assert (done.returncode, "'root' is root" in done.stderr) == (2, True)


class TestPolicy:
    """The XML of one bus says what the other host may call, that of the other what it may be."""

    KINDS = ("omnibusd", "dbus-daemon")  # the broker of tests has no policy

    def test_a_denied_method(self, start_link: StartLink, kind: str) -> None:
        if kind not in self.KINDS:
            pytest.skip("the bare broker has no policy")
        rules = f"""<policy user="{USER_B}">
          <deny send_destination="{NAME}" send_interface="org.example.Interface" send_member="Secret"/>
        </policy>"""
        linked = start_link({"policy": OPEN + rules})
        service, client, local = linked.service(), linked.b.connect(), linked.a.connect()
        serial = client.start_call(NAME, "Secret")
        with pytest.raises(BusError) as caught:
            client.reply_to(serial)
        assert caught.value.name == ACCESS_DENIED
        assert caught.value.reply.sender == linked.stand_in()
        for caller, member in ((local, "Secret"), (client, "Open")):
            serial = caller.start_call(NAME, member)
            service.reply(service.take(member=member))
            caller.reply_to(serial)

    def test_a_name_that_it_may_not_own(self, start_link: StartLink, kind: str) -> None:
        if kind not in self.KINDS:
            pytest.skip("the bare broker has no policy")
        rules = f'<policy user="{USER_A}"><deny own="{NAME}"/></policy>'
        linked = start_link(None, {"policy": OPEN + rules})
        linked.a.connect().own(NAME)
        linked.link.wait_for("a name is refused")
        with pytest.raises(BusError):
            linked.b.connect().driver("GetNameOwner", "s", NAME)


class TestForgery:
    """What a client may not make of a stand-in."""

    def test_a_reply_without_a_call(self, linked: Linked) -> None:
        """The service answers a remote client that has not asked, and twice one that has."""
        service, client = linked.service(), linked.b.connect()
        serial = client.start_call(NAME, "Read")
        call = service.take(member="Read")
        service.reply(call, "u", 1)
        service.reply(call, "u", 2)
        service.reply(call, "u", 3, reply_serial=call.serial + 1000)
        assert client.reply_to(serial).body == (1,)
        client.expect_nothing(service)

    def test_a_reply_of_another_connection(self, linked: Linked) -> None:
        service, client, other = linked.service(), linked.b.connect(), linked.a.connect()
        serial = client.start_call(NAME, "Read")
        call = service.take(member="Read")
        other.reply(call, "s", "forged")
        other.sync()
        service.reply(call, "s", "right")
        assert client.reply_to(serial).body == ("right",)

    def test_a_sender_is_what_the_bus_says(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        client.start_call(NAME, "Read", sender="org.freedesktop.DBus", flags=Flag.NO_REPLY_EXPECTED)
        call = service.take(member="Read")
        assert service.driver("GetConnectionUnixUser", "s", str(call.sender)) == pwd.getpwnam(USER_B).pw_uid

    def test_a_connection_that_is_not_exported(self, linked: Linked) -> None:
        """One that only knows the unique name of a remote client may not call it by that."""
        service, client, stranger = linked.service(), linked.b.connect(), linked.a.connect()
        client.start_call(NAME, "Register")
        caller = str(service.take(member="Register").sender)
        serial = stranger.start_call(caller, "Confirm")
        with pytest.raises(BusError) as caught:
            stranger.reply_to(serial)
        assert caught.value.name == ACCESS_DENIED
        client.expect_nothing()
