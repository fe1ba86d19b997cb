"""Stand-ins say for which connections they stand, on a bus that lets them (docs/using/metadata.md)."""

from __future__ import annotations

from typing import Any

import pytest

from support.raw import BUS, Client
from support.wire import Variant

from .conftest import NAME, Linked, StartLink

METADATA = "org.omnibus.Metadata1"


@pytest.fixture(autouse=True)
def only_omnibusd(kind: str) -> None:
    if kind != "omnibusd":
        pytest.skip("has no metadata of connections")


def said(client: Client, name: str) -> Any:
    return client.driver("GetMetadata", "s", name, interface=METADATA)


def of(host: str, name: str) -> dict[str, Variant]:
    return {"org.omnibus.Link.Host": Variant("s", host), "org.omnibus.Link.Name": Variant("s", name)}


class TestStandIns:
    def test_of_a_service_and_of_a_client(self, linked: Linked) -> None:
        """Each by its unique name on the other bus, from the first message on."""
        service, client = linked.service(), linked.b.connect()
        assert said(client, NAME) == of("a", service.unique)
        client.start_call(NAME, "Register")
        caller = str(service.take(member="Register").sender)
        assert said(service, caller) == of("b", client.unique)

    def test_of_a_service_that_may_be_absent(self, start_link: StartLink) -> None:
        linked = start_link(exports=f'"{NAME}" = {{ to = ["b"], start = true }}')
        linked.stand_in()
        assert said(linked.b.connect(), NAME) == of("a", NAME)

    def test_a_bus_that_does_not_allow_it(self, start_link: StartLink) -> None:
        """The link works all the same, and says so."""
        deny = f"""<policy context="mandatory">
          <deny send_destination="{BUS}" send_interface="{METADATA}" send_member="SetMetadata"/>
        </policy>"""
        linked = start_link({"extra": deny})
        service, client = linked.service(), linked.b.connect()
        linked.link.wait_for("a: stand-ins of b do not say for which connections they stand: ")
        client.start_call(NAME, "Register")
        caller = str(service.take(member="Register").sender)
        assert said(service, caller) == {}
        assert said(client, NAME) == of("a", service.unique)
