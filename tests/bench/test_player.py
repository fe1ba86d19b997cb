"""The player replays a log-in on a bus, and finds what differs from the record."""

from __future__ import annotations

import fcntl
import json
import lzma
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from omnibus.bench import busbench, logins
from omnibus.bench.daemons import OURS
from omnibus.bench.replay import PROGRAM, LogIn, Replay, ReplayError
from support.recording import DRIVER, Recording

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="a C compiler builds the player")

RULE = "type='signal',interface='org.example.Clock',member='Tick'"
NAME = "org.example.Clock"
Edit = Callable[[str], str]


@pytest.fixture(scope="module", autouse=True)
def build() -> None:
    busbench.PROGRAM.parent.mkdir(exist_ok=True)
    with (busbench.PROGRAM.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busbench.build()


def clock() -> Recording:
    """Three subscribers, of which one leaves, a service that is started, answered calls, and names."""
    recording = Recording()
    recording.connect(4)
    recording.ask_bus(4, "AddMatch", f"type='signal',sender='{DRIVER}',member='NameOwnerChanged'")
    recording.connect(5, 6, 7, receivers=1)
    for number in (5, 6, 7):
        recording.ask_bus(number, "AddMatch", RULE)
    recording.tick(4, receivers=3)
    recording.owner_changed(":1.7", old=7, receivers=1)
    recording.tick(4, receivers=2)
    recording.ask_bus(5, "GetNameOwner", NAME, error=f"{DRIVER}.Error.NameHasNoOwner")
    serial = recording.call(5, "?", NAME)
    recording.connect(8, receivers=1)
    request = recording.add(type="c", sender=8, dest="b", path="/org/freedesktop/DBus", interface=DRIVER,
                            member="RequestName", arg=NAME)  # fmt: skip
    recording.owner_changed(NAME, new=8, receivers=1)
    recording.add(type="r", sender="b", dest=8, reply_serial=request)
    recording.answer(8, 5, serial)
    recording.add(
        type="s", sender="b", dest="?", dest_name="org.freedesktop.systemd1", member="ActivationRequest"
    )
    recording.ask_bus(5, "GetNameOwner", NAME)
    recording.ask_bus(5, "GetConnectionUnixUser", ":1.8")
    return recording


def log_in(recording: Recording, directory: Path, edit: Edit = str, running: bool = False) -> LogIn:
    login = LogIn.prepare(recording.write(directory), directory, "end", running)
    login.file.write_text(edit(login.file.read_text()))
    return login


def replay(login: LogIn, **options: float) -> dict[str, object]:
    return Replay(deadline=20, **options).run(login, OURS)  # type: ignore[arg-type]


class TestReplay:
    @pytest.mark.parametrize("processes", [1, 3])
    @pytest.mark.parametrize("running", [False, True])
    def test_everything_arrives_as_recorded(self, tmp_path: Path, processes: int, running: bool) -> None:
        result = replay(log_in(clock(), tmp_path, running=running), processes=processes)
        assert result["ok"], result
        assert result["remarks"] == []

    def test_the_bus_is_measured(self, tmp_path: Path) -> None:
        result = replay(log_in(clock(), tmp_path))
        assert 0 < float(str(result["cpu"])) < float(str(result["cpu_with_start"]))
        times = result["times_us"]
        assert isinstance(times, list)
        assert ("GetConnectionUnixUser") in [group for group, us in times if us > 0]

    def test_the_recorded_speed_is_kept(self, tmp_path: Path) -> None:
        recording = clock()
        recording.rows[-2]["t"] = recording.rows[-1]["t"] = "0.6"
        result = replay(log_in(recording, tmp_path), speed=2)
        assert result["ok"], result
        assert float(str(result["seconds"])) >= 0.3


class TestDifferences:
    def test_too_few_receivers_are_found(self, tmp_path: Path) -> None:
        """The second Tick is said to reach three: there is no third copy."""
        login = log_in(
            clock(), tmp_path, lambda text: text.replace("\t2\t2\t\tm\t4\t4\n", "\t3\t3\t\tm\t4\t4\n")
        )
        with pytest.raises(ReplayError, match=r"line \d+ \(m 4 4\) was received 2 of 3 times"):
            Replay(deadline=6).run(login, OURS)

    def test_too_many_receivers_are_found(self, tmp_path: Path) -> None:
        login = log_in(
            clock(), tmp_path, lambda text: text.replace("\t2\t2\t\tm\t4\t4\n", "\t1\t1\t\tm\t4\t4\n")
        )
        result = replay(login)
        assert not result["ok"]
        assert result["too_many_receivers"] == 1
        assert "2 receivers instead of 1 to 1" in str(result["remarks"])

    def test_another_answer_is_found(self, tmp_path: Path) -> None:
        login = log_in(
            clock(), tmp_path, lambda text: text.replace(f"\t{DRIVER}.Error.NameHasNoOwner\t", "\tr\t")
        )
        result = replay(login)
        assert not result["ok"]
        assert result["different_answers"] == 1
        assert "recorded was r" in str(result["remarks"])

    def test_a_stuck_replay_says_what_waits_for_what(self, tmp_path: Path) -> None:
        """The start is never wanted: the call to the name is not sent."""
        plan = log_in(clock(), tmp_path).file.read_text().splitlines()
        call = next(i for i, line in enumerate(plan) if line.startswith("O\t5\t") and "\tGet\t" in line)
        words = plan[call].split("\t")
        words[6] = str(next(i - 2 for i, line in enumerate(plan) if "\tu\t" in line))
        plan[call] = "\t".join(words)
        login = log_in(clock(), tmp_path, lambda _: "\n".join(plan) + "\n")
        with pytest.raises(ReplayError) as raised:
            Replay(deadline=6).run(login, OURS)
        assert f"connection 5, line {words[2]} (c Get) waits for" in str(raised.value)
        assert f"(u {NAME} 1)" in str(raised.value)


class TestPlans:
    @pytest.mark.parametrize(
        ("plan", "error"),
        [
            ("omnibus-plan 2\n", ":1: no plan of this version"),
            ("omnibus-plan 1\nC\t1\t1\n", ":2: too few words"),
            ("omnibus-plan 1\nC\t1\t-1\t0\n", ":2: a number is malformed"),
            ("omnibus-plan 1\nC\t1\t1\t0\n", ":3: the plan ends early"),
            ("omnibus-plan 1\nC\t1\t1\t0\nE\t1\tmany\t1\tr\tx\t0\n", ":3: a number is malformed"),
            ("omnibus-plan 1\nC\t1\t2\t0\nE\t1\t1\t1\t\tx\t0\nE\t1\t1\t1\t\tx\t0\n", ":4: an event twice"),
            ("omnibus-plan 1\nC\t1\t0\t0\nmore\n", ":3: something behind"),
        ],
    )
    def test_a_bad_line_is_named(self, tmp_path: Path, plan: str, error: str) -> None:
        path = tmp_path / "plan"
        path.write_text(plan)
        ran = subprocess.run(
            [PROGRAM, "--address", "unix:path=/nowhere", path], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 1
        assert error in ran.stderr

    def test_missing_traces_are_said_to_be_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.argv", ["logins", "--directory", str(tmp_path / "traces")])
        assert logins.main() == 2
        assert "beside the checkout, in ../shared/traces" in capsys.readouterr().err


class TestPlansElsewhere:
    def test_plans_are_written_for_a_player_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With processes that share the connections, and with the names that are started there."""
        traces, plans = tmp_path / "traces", tmp_path / "plans"
        traces.mkdir()
        plans.mkdir()
        (traces / "clock-ref-session.csv.xz").write_bytes(lzma.compress(clock().text().encode()))
        arguments = [
            "--directory",
            traces,
            "--traces",
            "clock-ref-session",
            "--until",
            "end",
            "--plans",
            plans,
        ]
        monkeypatch.setattr("sys.argv", ["logins", *map(str, arguments)])
        assert logins.main() == 0
        assert (plans / "clock-ref-session.names").read_text() == f"{NAME}\n"
        assert (plans / "clock-ref-session-running.plan").read_text().startswith("omnibus-plan 1\n")


class TestReport:
    def test_tables_go_between_the_marks(self, tmp_path: Path) -> None:
        path = tmp_path / "README.md"
        path.write_text("before\n<!-- log-ins: costs -->\nold\n<!-- log-ins: end -->\nafter\n")
        login = log_in(clock(), tmp_path)
        report = logins.LogInReport([OURS], {(login.name, "starting"): login})
        report.add((login.name, "starting"), OURS, replay(login))
        lines = logins.replace(path.read_text(), report).splitlines()
        assert (lines[0], lines[-1]) == ("before", "after")
        assert "old" not in lines
        assert any(line.startswith(f"| clock-ref-session starting | {OURS} |") for line in lines)
        assert json.dumps(report.figures())
