"""Names of one bus on the other: who owns them, when they come and go."""

from __future__ import annotations

import select
import time

import pytest

from support.raw import BUS, DEADLINE, BusError

from .conftest import NAME, Linked, StartLink, text_of, wait_for_owner


class TestOwners:
    """A stand-in owns on the importing bus what its service owns on the exporting one."""

    def test_the_end_of_a_service(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        owner = linked.stand_in()
        client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{NAME}'")
        service.close()
        assert client.take(member="NameOwnerChanged").body == (NAME, owner, "")

    def test_a_pending_call_has_no_reply(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        serial = client.start_call(NAME, "Read")
        service.take(member="Read")
        service.close()
        with pytest.raises(BusError) as caught:
            client.reply_to(serial)
        assert caught.value.name == "org.freedesktop.DBus.Error.NoReply"

    def test_another_owner(self, linked: Linked) -> None:
        service = linked.service()
        before = linked.stand_in()
        successor = linked.a.connect()
        assert successor.own(NAME) == 2  # in the queue
        client = linked.b.connect()
        client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{NAME}'")
        service.driver("ReleaseName", "s", NAME)
        seen = client.take(member="NameOwnerChanged").body
        assert seen[1] == before
        while not seen[2]:
            seen = client.take(member="NameOwnerChanged").body
        serial = client.start_call(NAME, "Read")
        successor.reply(successor.take(member="Read"), "s", "successor")
        assert client.reply_to(serial).body == ("successor",)

    def test_a_service_hears_of_the_end_of_a_remote_client(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        client.start_call(NAME, "Register")
        caller = service.take(member="Register").sender
        service.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{caller}'")
        client.close()
        assert service.take(member="NameOwnerChanged").body == (caller, caller, "")

    def test_a_client_that_leaves_at_once_leaves_nothing(self, linked: Linked) -> None:
        """What it has sent before arrives, and no stand-in stays."""
        service = linked.service()
        for number in range(20):
            client = linked.b.connect()
            client.start_call(NAME, "Tell", "u", number, flags=1)
            client.close()
            call = service.take(member="Tell", body=(number,))
            wait_for_owner(linked.a, str(call.sender), owner=False)

    def test_several_names_of_one_owner(self, start_link: StartLink) -> None:
        linked = start_link(
            exports='"org.example.*" = { to = ["b"] }', imports='"org.example.*" = { from = "a" }'
        )
        service = linked.service()
        service.own("org.example.Second")
        assert linked.wait_for_owner(linked.b, "org.example.Second") == linked.stand_in()
        service.driver("ReleaseName", "s", "org.example.Second")
        linked.wait_for_owner(linked.b, "org.example.Second", owner=False)
        linked.stand_in()

    def test_another_name_here(self, start_link: StartLink) -> None:
        linked = start_link(imports=f'"org.example.at_%h.Sensor" = {{ from = "*", name = "{NAME}" }}')
        service = linked.a.connect()
        service.own(NAME)
        linked.wait_for_owner(linked.b, "org.example.at_a.Sensor")
        client = linked.b.connect()
        client.match("type='signal',sender='org.example.at_a.Sensor'")
        serial = client.start_call("org.example.at_a.Sensor", "Read")
        call = service.take(member="Read")
        service.signal("Changed")
        service.reply(call)
        client.take(member="Changed")
        client.reply_to(serial)

    def test_what_is_not_exported_is_not_there(self, linked: Linked) -> None:
        linked.service().own("org.example.Secret")
        linked.stand_in()
        with pytest.raises(BusError):
            linked.b.connect().driver("GetNameOwner", "s", "org.example.Secret")


class TestTakenNames:
    """A name that has an owner on both buses."""

    def test_the_local_owner_stays_and_the_remote_one_waits(self, linked: Linked) -> None:
        local = linked.b.connect()
        local.own(NAME)
        service = linked.a.connect()
        service.own(NAME)
        client = linked.b.connect()
        end = time.monotonic() + DEADLINE
        # The line of the log may be of another test with these buses.
        while len(queue := client.driver("ListQueuedOwners", "s", NAME)) < 2:
            assert time.monotonic() < end
            select.select([], [], [], 0.01)
        assert queue[0] == local.unique
        linked.link.wait_for("waits for a name that has an owner here")
        client.match(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{NAME}'")
        local.close()
        assert client.take(member="NameOwnerChanged").body[1] == local.unique
        serial = client.start_call(NAME, "Read")
        service.reply(service.take(member="Read"))
        client.reply_to(serial)

    def test_the_remote_one_replaces_a_local_one_that_allows_it(self, start_link: StartLink) -> None:
        linked = start_link(imports=f'"{NAME}" = {{ from = "a", prefer = "remote" }}')
        local = linked.b.connect()
        local.own(NAME, flags=1)  # ALLOW_REPLACEMENT
        linked.a.connect().own(NAME)
        local.take(member="NameLost", body=(NAME,))
        assert linked.stand_in() != local.unique

    def test_exported_by_both(self, start_link: StartLink) -> None:
        """Each bus has its own owner, and neither's comes back to it."""
        linked = start_link(
            more=f'[bus.b.export]\n"{NAME}" = {{ to = ["a"] }}\n[bus.a.import]\n"{NAME}" = {{ from = "b" }}'
        )
        one, other = linked.a.connect(), linked.b.connect()
        assert one.own(NAME) == 1
        assert linked.stand_in()
        assert other.own(NAME) == 2
        stand_in = linked.stand_in()
        one.close()
        other.take(member="NameAcquired", body=(NAME,))
        linked.wait_for_owner(linked.a, NAME)
        assert linked.b.connect().driver("GetNameOwner", "s", NAME) == other.unique != stand_in
        other.close()
        linked.wait_for_owner(linked.a, NAME, owner=False)
        linked.wait_for_owner(linked.b, NAME, owner=False)


class TestReload:
    """SIGHUP reads the file again."""

    def test_a_name_comes_and_goes_and_others_stay(self, start_link: StartLink) -> None:
        linked = start_link()
        linked.service()
        before = linked.stand_in()
        other = linked.a.connect()
        other.own("org.example.Other")
        exports = f'"{NAME}" = {{ to = ["b"] }}\n"org.example.Other" = {{ to = ["b"] }}'
        imports = f'"{NAME}" = {{ from = "a" }}\n"org.example.Other" = {{ from = "a" }}'
        linked.link.reload(text_of(linked.a, linked.b, exports=exports, imports=imports))
        linked.wait_for_owner(linked.b, "org.example.Other")
        linked.link.reload(text_of(linked.a, linked.b), 2)
        linked.wait_for_owner(linked.b, "org.example.Other", owner=False)
        assert linked.stand_in() == before

    def test_a_file_with_errors_changes_nothing(self, start_link: StartLink) -> None:
        linked = start_link()
        linked.service()
        before = linked.stand_in()
        linked.link.file.write_text("[bus]\n")
        linked.link.process.send_signal(1)
        linked.link.wait_for("left as it was")
        assert linked.stand_in() == before
