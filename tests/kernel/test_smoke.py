"""The kernel part on a stock kernel: a guest runs the smoke subset, and its result lines are counted here."""

import subprocess
from pathlib import Path

KERNEL = Path(__file__).parents[2] / "kernel"
SECONDS = 480


def guest_tests(results: Path) -> list[str]:
    """The lines that the guest printed for its tests."""
    run = subprocess.run(
        [str(KERNEL / "tools" / "run-tests.sh"), "-s", "-r", str(results)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    lines = run.stdout.splitlines()
    failed = [line for line in lines if line.startswith("not ok")]
    assert not failed, "\n".join(failed)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return lines


def test_the_module_on_a_stock_kernel(tmp_path: Path) -> None:
    lines = guest_tests(tmp_path)
    passed = [line.removeprefix("ok ") for line in lines if line.startswith("ok ")]
    names = {name.rpartition("/")[2] for name in passed}
    assert len(passed) == len(set(passed))
    assert {"rmmod", "kernel log"} <= names
    # Each of the contract's rules that the short run covers was really run.
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
    assert "done, 0 failed" in lines
    assert len(passed) >= 120
