"""A recorded log-in becomes a plan: who sends what, after what, and who has to receive it."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnibus.bench import trace
from omnibus.bench.plan import Event, Op, Plan
from omnibus.bench.planner import Planner
from omnibus.bench.rules import Subject
from omnibus.bench.rules import parse as rule
from support.recording import DRIVER, Recording

RULE = "type='signal',interface='org.example.Clock',member='Tick'"
NAME = "org.example.Clock"


def plan_of(recording: Recording, running: bool = False) -> Plan:
    lines = list(trace.parse_all(recording.text().splitlines(), "trace"))
    return Planner("trace", lines, lines[-1].t, running).run()


def op(plan: Plan, connection: int, member: str, nth: int = 0) -> Op:
    return [o for o in plan.ops if o.connection == str(connection) and o.member == member][nth]


def waits(plan: Plan, of: Op) -> set[tuple[str, ...]]:
    return {plan.events[event].key for event in of.waits}


def event(plan: Plan, *key: str) -> Event:
    return next(event for event in plan.events if event.key == key)


class TestLines:
    def test_columns_become_a_message(self) -> None:
        recording = Recording()
        recording.call(4, 5, NAME)
        (line,) = trace.parse_all(recording.text().splitlines(), "trace")
        assert (line.type, line.sender, line.dest, line.dest_name, line.size) == ("c", "4", "5", NAME, 200)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("type", "x"),
            ("sender", "-"),
            ("dest", "nobody"),
            ("size", "big"),
            ("size", "999999999"),
            ("serial", "0"),
            ("reply_serial", "-1"),
            ("t", "-1"),
            ("arg", "a\tb"),
            ("arg", "{4}"),
        ],
    )
    def test_a_bad_line_is_named(self, column: str, value: str) -> None:
        recording = Recording()
        recording.connect(4)
        recording.rows[1][column] = value
        with pytest.raises(trace.TraceError, match=r"^some\.csv:3: "):
            list(trace.parse_all(recording.text().splitlines(), "some.csv"))

    def test_other_columns_are_no_trace(self) -> None:
        with pytest.raises(trace.TraceError, match=r"^some\.csv:1: "):
            list(trace.parse_all(["a,b", "1,2"], "some.csv"))

    def test_a_bad_rule_is_named(self) -> None:
        recording = Recording()
        recording.connect(4)
        recording.ask_bus(4, "AddMatch", "colour='red'")
        with pytest.raises(trace.TraceError, match=r"^trace:5: .*colour"):
            plan_of(recording)

    def test_a_file_that_is_no_xz_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "clock.csv.xz"
        path.write_bytes(b"no xz")
        with pytest.raises(trace.TraceError, match=r"clock\.csv\.xz"):
            trace.read(path)


class TestRules:
    """D-Bus Specification, "Match Rules"."""

    SUBJECT = Subject(
        frozenset({":1.4", NAME}), "org.example.Clock", "Tick", "/clock/a", {0: "/aa/bb", 1: "x.y"}
    )

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "type='signal'",
            f"sender='{NAME}'",
            "sender=':1.4',path='/clock/a'",
            "path_namespace='/clock'",
            "path_namespace='/'",
            "arg0='/aa/bb',arg1='x.y'",
            "arg0path='/aa/'",
            "arg0path='/aa/bb'",
            "arg1namespace='x'",
            "interface=org.example.Clock",
        ],
    )
    def test_matches(self, text: str) -> None:
        assert rule(text).matches(self.SUBJECT)

    @pytest.mark.parametrize(
        "text",
        [
            "type='method_call'",
            "sender='org.example.Other'",
            "path='/clock'",
            "path_namespace='/clo'",
            "arg0='/aa'",
            "arg0path='/aa'",
            "arg1namespace='x.yy'",
            "arg2='x'",
            "destination=':1.4'",
        ],
    )
    def test_does_not_match(self, text: str) -> None:
        assert not rule(text).matches(self.SUBJECT)


class TestReceivers:
    def test_a_broadcast_reaches_those_whose_rules_match_now(self) -> None:
        recording = Recording()
        recording.connect(4, 5, 6, 7)
        for number in (5, 6, 7):
            recording.ask_bus(number, "AddMatch", RULE)
        recording.ask_bus(7, "RemoveMatch", RULE)
        recording.tick(4, receivers=2)
        plan = plan_of(recording)
        tick = event(plan, "m", "4", "2")
        assert (tick.least, tick.most) == (2, 2)
        assert (plan.broadcasts, plan.as_recorded) == (5, 5)

    def test_an_argument_is_chosen_that_reaches_as_many_as_recorded(self) -> None:
        """Bodies are not in traces."""
        recording = Recording()
        recording.connect(4, 5, 6, 7)
        for number, argument in ((5, "a"), (6, "b"), (7, "b")):
            recording.ask_bus(number, "AddMatch", f"{RULE},arg0='{argument}'")
        recording.tick(4, receivers=2)
        plan = plan_of(recording)
        assert op(plan, 4, "Tick").body == "sP|b"
        assert event(plan, "m", "4", "2").least == 2

    def test_a_call_to_an_unowned_name_reaches_no_client(self) -> None:
        recording = Recording()
        recording.connect(4)
        serial = recording.call(4, "?", NAME)
        recording.add(
            type="e", sender="b", dest=4, reply_serial=serial, error=f"{DRIVER}.Error.ServiceUnknown"
        )
        plan = plan_of(recording)
        assert event(plan, "m", "4", "2").most == 0
        assert event(plan, "r", "4", "2").answer == f"{DRIVER}.Error.ServiceUnknown"
        assert not plan.activatable

    def test_a_call_whose_answer_was_not_recorded_may_have_any(self) -> None:
        recording = Recording()
        recording.connect(4)
        recording.add(type="c", sender=4, dest="b", interface=DRIVER, member="StartServiceByName", arg=NAME)
        answer = event(plan_of(recording), "r", "4", "2")
        assert (answer.least, answer.most, answer.answer) == (0, 1, "")


class TestWaits:
    """What was recorded in an order that matters is sent in that order."""

    def test_a_message_waits_for_the_replies_that_its_sender_had(self) -> None:
        recording = Recording()
        recording.connect(4)
        recording.ask_bus(4, "ListNames")
        recording.ask_bus(4, "GetId")
        plan = plan_of(recording)
        assert ("r", "4", "2") in waits(plan, op(plan, 4, "GetId"))

    def test_calls_that_were_under_way_together_still_are(self) -> None:
        recording = Recording()
        recording.connect(4, 5)
        first, second = recording.call(4, 5), recording.call(4, 5)
        recording.answer(5, 4, first)
        recording.answer(5, 4, second)
        plan = plan_of(recording)
        assert ("r", "4", str(first)) not in waits(plan, op(plan, 4, "Get", 1))

    def test_an_answer_waits_for_its_call(self) -> None:
        recording = Recording()
        recording.connect(4, 5)
        serial = recording.call(4, 5)
        recording.answer(5, 4, serial)
        plan = plan_of(recording)
        answer = next(o for o in plan.ops if o.kind == "r")
        assert ("m", "4", str(serial)) in waits(plan, answer)

    def test_a_broadcast_waits_for_the_rules_that_match_it(self) -> None:
        recording = Recording()
        recording.connect(4, 5)
        recording.ask_bus(5, "AddMatch", RULE)
        recording.tick(4, receivers=1)
        plan = plan_of(recording)
        assert ("r", "5", "2") in waits(plan, op(plan, 4, "Tick"))

    def test_a_rule_waits_for_the_broadcasts_that_it_came_too_late_for(self) -> None:
        recording = Recording()
        recording.connect(4, 5, 6)
        recording.ask_bus(5, "AddMatch", RULE)
        recording.tick(4, receivers=1)
        recording.ask_bus(6, "AddMatch", RULE)
        plan = plan_of(recording)
        assert ("m", "4", "2") in waits(plan, op(plan, 6, "AddMatch"))

    def test_what_nothing_shows_is_undecided(self) -> None:
        """The broadcast has no receivers, so nothing shows when the bus has taken it."""
        recording = Recording()
        recording.connect(4, 6)
        recording.tick(4, receivers=0)
        recording.ask_bus(6, "AddMatch", RULE)
        plan = plan_of(recording)
        tick = event(plan, "m", "4", "2")
        assert (tick.least, tick.most, plan.undecided) == (0, 1, 1)

    def test_a_call_waits_for_the_owner_of_its_name(self) -> None:
        recording = Recording()
        recording.connect(4, 5)
        recording.own(5, NAME)
        serial = recording.call(4, 5, NAME)
        recording.answer(5, 4, serial)
        plan = plan_of(recording)
        assert ("r", "5", "2") in waits(plan, op(plan, 4, "Get"))

    def test_an_owner_waits_for_questions_that_found_no_owner(self) -> None:
        recording = Recording()
        recording.connect(4, 5)
        recording.ask_bus(4, "GetNameOwner", NAME, error=f"{DRIVER}.Error.NameHasNoOwner")
        recording.own(5, NAME)
        plan = plan_of(recording)
        assert ("r", "4", "2") in waits(plan, op(plan, 5, "RequestName"))

    def test_a_question_about_a_name_waits_until_its_owner_has_left(self) -> None:
        recording = Recording()
        recording.connect(4, 5)
        recording.own(5, NAME)
        recording.owner_changed(NAME, old=5)
        recording.owner_changed(":1.5", old=5)
        recording.ask_bus(4, "GetNameOwner", NAME, error=f"{DRIVER}.Error.NameHasNoOwner")
        plan = plan_of(recording)
        assert ("x", "5") in waits(plan, op(plan, 4, "GetNameOwner"))

    def test_a_rule_waits_for_the_connections_that_it_names(self) -> None:
        recording = Recording()
        recording.connect(4, 5)
        recording.ask_bus(5, "AddMatch", f"{RULE},sender=':1.4'")
        plan = plan_of(recording)
        assert ("r", "4", "1") in waits(plan, op(plan, 5, "AddMatch"))
        assert op(plan, 5, "AddMatch").body.endswith("sender='{4}'")

    def test_a_connection_closes_when_it_has_got_its_broadcasts(self) -> None:
        recording = Recording()
        recording.connect(4, 5)
        recording.ask_bus(5, "AddMatch", RULE)
        recording.tick(4, receivers=1)
        recording.tick(4, receivers=1)
        recording.owner_changed(":1.5", old=5)
        plan = plan_of(recording)
        close = next(o for o in plan.ops if o.kind == "X")
        assert (close.connection, close.broadcasts) == ("5", 2)

    def test_every_wait_is_for_something_earlier(self) -> None:
        """So that no two messages wait for each other."""
        plan = plan_of(started())
        sent: set[tuple[str, ...]] = set()
        for o in plan.ops:
            for key in waits(plan, o):
                assert event(plan, *key).line <= o.line or key in sent or key[0] == "r"
            sent.add(("m", o.connection, str(o.serial)))


def started() -> Recording:
    """A service that a call starts, by systemd, which is there before."""
    recording = Recording()
    recording.connect(4)
    serial = recording.call(4, "?", NAME)
    recording.add(
        type="s",
        sender="b",
        dest="?",
        dest_name="org.freedesktop.systemd1",
        member="ActivationRequest",
        arg="x._0",
        receivers=0,
    )
    recording.connect(5)
    recording.own(5, NAME)
    recording.answer(5, 4, serial)
    return recording


class TestStarts:
    def test_a_started_service_connects_when_the_bus_wants_it(self) -> None:
        plan = plan_of(started())
        assert ("u", NAME, "1") in waits(plan, op(plan, 5, "Hello"))
        assert plan.activatable == {NAME}

    def test_a_connection_plays_systemd(self) -> None:
        plan = plan_of(started())
        assert op(plan, 0, "RequestName").body == "su|org.freedesktop.systemd1|0"
        assert op(plan, 0, "RequestName").start

    def test_the_call_that_starts_it_reaches_it(self) -> None:
        plan = plan_of(started())
        assert event(plan, "m", "4", "2").least == 1

    def test_running_services_are_there_before_the_measurement(self) -> None:
        plan = plan_of(started(), running=True)
        assert op(plan, 5, "Hello").start
        assert op(plan, 5, "RequestName").start
        assert not any(event.key[0] == "u" for event in plan.events)


class TestOmissions:
    def test_what_the_policy_refused_is_left_out_and_counted(self) -> None:
        recording = Recording()
        recording.connect(4)
        recording.ask_bus(4, "RequestName", NAME, error=f"{DRIVER}.Error.AccessDenied")
        plan = plan_of(recording)
        assert [o.member for o in plan.ops] == ["Hello"]
        assert plan.omitted == {"denied by the policy": 1}
