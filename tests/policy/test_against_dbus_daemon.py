"""Connect rules: the evaluator and dbus-daemon agree on random rules."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from omnibus.policy.evaluate import Policy
from omnibus.policy.rules import Context, Kind, Rule
from support.raw import Closed

from .reference import GIDS, ME, UIDS, USERS, needs_reference, running
from .strategies import rules, to_xml

pytestmark = needs_reference


class TestConnections:
    """Without a rule about it, only the user that the bus runs as may connect."""

    @settings(max_examples=10, deadline=None)
    @given(st.lists(rules((Kind.CONNECT_USER, Kind.CONNECT_GROUP)), max_size=5), st.data())
    def test_verdicts(self, found: list[Rule], data: st.DataObject) -> None:
        chosen = []
        for rule in found:
            ids = UIDS if rule.kind == Kind.CONNECT_USER else GIDS
            principal = data.draw(st.sampled_from((0xFFFFFFFF, *ids)))
            context = data.draw(st.sampled_from((Context.DEFAULT, Context.MANDATORY)))
            chosen.append(rule.replace(principal=principal, context=context))
        messages = "<policy context='default'><allow send_type='*'/><allow receive_type='*'/></policy>"
        policy = Policy(chosen)
        with running(to_xml(chosen) + messages) as daemon:
            for uid in UIDS:
                gids = os.getgrouplist(USERS[uid].pw_name, USERS[uid].pw_gid)
                verdict = policy.can_connect(uid, gids, bus_owner_uid=ME)
                try:
                    daemon.connect(uid=uid)
                except Closed:
                    assert not verdict, verdict.reason
                else:
                    assert verdict, verdict.reason
