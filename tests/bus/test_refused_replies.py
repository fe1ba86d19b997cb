"""Calls with a reply that the policy denies."""

from __future__ import annotations

import pytest

from support.daemon import Daemon, config
from support.message import Type
from support.raw import ERROR, Client

from .conftest import StartDaemon

REFUSED = "org.example.Error.Refused"
POLICY = f"""<policy context="default">
<allow user="*"/>
<allow send_type="method_call"/>
<allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/>
<deny send_type="error" send_error="{REFUSED}" send_requested_reply="true"/>
<allow receive_type="method_call"/>
<allow receive_type="method_return"/>
<allow receive_type="error"/>
<allow receive_type="signal"/>
</policy>"""


class TestRefusedReply:
    """The call stays pending after a denied reply."""

    @pytest.fixture
    def pair(self, start_daemon: StartDaemon) -> tuple[Client, Client, int]:
        """A caller, a callee with a denied reply, and the serial of the call."""
        daemon: Daemon = start_daemon(config("unix:path={dir}/bus", policy=POLICY))
        caller, callee = daemon.connect(), daemon.connect()
        serial = caller.start_call(callee.unique, "Hail")
        callee.expect(member="Hail")
        self.reply(callee, Type.ERROR, caller, serial, error_name=REFUSED)
        callee.expect(type=Type.ERROR, error_name=f"{ERROR}AccessDenied")
        return caller, callee, serial

    def reply(self, callee: Client, type: int, caller: Client, serial: int, **fields: str) -> None:
        callee.send(callee.message(type, destination=caller.unique, reply_serial=serial, **fields))

    @pytest.mark.deviation("refused-reply")
    def test_another_reply(self, pair: tuple[Client, Client, int]) -> None:
        """The callee may send another reply."""
        caller, callee, serial = pair
        self.reply(callee, Type.METHOD_RETURN, caller, serial)
        callee.driver("GetId")
        assert caller.driver("GetId")
        assert [one.type for one in caller.inbox if one.reply_serial == serial] == [Type.METHOD_RETURN]

    @pytest.mark.deviation("refused-reply")
    def test_no_reply(self, pair: tuple[Client, Client, int]) -> None:
        """If the callee disconnects, the caller gets NoReply."""
        caller, callee, serial = pair
        caller.deadline = 2.0
        callee.close()
        caller.expect(type=Type.ERROR, reply_serial=serial, error_name=f"{ERROR}NoReply")
