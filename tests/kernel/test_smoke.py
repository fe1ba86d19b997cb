"""A stock kernel with the module, in a guest: the module's smoke tests, and some tests of the bus."""

from __future__ import annotations

import shlex
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SECONDS = 600
BUS_TESTS = (
    "test_direct.py",
    "test_routing.py::TestUnicast",
    "test_routing.py::TestBroadcast",
    "test_routing.py::TestOrder",
    "test_replies.py::TestReply",
    "test_replies.py::TestCalleeGone::test_no_reply",
    "test_names.py::TestReleaseName",
    "test_descriptors.py::TestUnicast::test_in_a_reply",
    "test_descriptors.py::TestBroadcast",
    "test_monitoring.py::TestBecoming::test_match_rules",
    "test_monitoring.py::TestBecoming::test_others_see_it",
)


@dataclass(frozen=True)
class Guest:
    """A guest's results: lines of the module's tests, and pytest's report."""

    status: int
    lines: Sequence[str]
    errors: str
    bus_tests: Path


def boot(results: Path) -> Guest:
    """Run all tests in one guest: booting takes longer than running them."""
    tests = [f"tests/bus/{one}" for one in BUS_TESTS]
    inside = shlex.join([str(CHECKOUT / "tests/guest/inside.sh"), str(CHECKOUT), "", "-q", *tests])
    command = f"OMNIBUS_TEST_PATIENCE=6 OMNIBUS_MULTICAST=require {inside}"
    run = subprocess.run(
        [CHECKOUT / "kernel/tools/run-tests.sh", "-s", "-r", results, "-d", CHECKOUT, "-x", command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return Guest(run.returncode, run.stdout.splitlines(), run.stderr, results / "tests.xml")


def check_module(guest: Guest) -> None:
    failed = [line for line in guest.lines if line.startswith("not ok")]
    assert not failed, "\n".join(failed)
    assert guest.status == 0, "\n".join([*guest.lines[-40:], guest.errors[-2000:]])
    passed = [line.removeprefix("ok ") for line in guest.lines if line.startswith("ok ")]
    names = {name.rpartition("/")[2] for name in passed}
    assert len(passed) == len(set(passed))
    assert {"rmmod", "kernel log"} <= names
    # Every rule of the contract that the short run covers was tested.
    assert {
        "a_send_in_flight_while_the_member_is_added",
        "c_reacts_before_b_is_flushed",
        "efault_in_the_middle",
        "index_reuse",
        "iovecs_that_change_under_the_copy",
        "message_that_forges_sender",
        "receiver_with_passcred",
        "several_threads_on_one_socket",
        "shutdown_and_cut_off",
        "socketpair_and_bind_attack",
        "model",
        "tiny_sndbuf",
        "two_crossing_broadcasts_one_relayed",
    } <= names
    assert "done, 0 failed" in guest.lines
    assert len(passed) >= 120


def check_bus(guest: Guest) -> None:
    assert guest.bus_tests.exists(), "\n".join([*guest.lines[-40:], guest.errors[-2000:]])
    cases = list(ElementTree.parse(guest.bus_tests).iter("testcase"))
    # A test that did not pass, even a skipped one, has a child with the reason.
    assert not [f"{case.get('name')}: {case[0].tag} {case[0].get('message')}" for case in cases if len(case)]
    assert len(cases) >= 30
    assert {str(case.get("classname")).rpartition(".")[2] for case in cases} >= {
        "TestDaemonSleeps",
        "TestOrder",
    }


def test_a_guest(tmp_path: Path) -> None:
    guest = boot(tmp_path)
    check_module(guest)
    check_bus(guest)
