"""Half a minute of ``make fuzz-bus``, and the properties that reproducing a failure relies on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SANITIZED = ROOT / ".venv/sanitize/bin/omnibusd"
SECONDS = int(os.environ.get("FUZZ_BUS_SECONDS", "30"))

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc builds the fuzzer")


@pytest.fixture(scope="session")
def daemon(request: pytest.FixtureRequest) -> str:
    """The sanitised build if this tree has one: building it takes a minute."""
    chosen: str = request.config.option.daemon
    if chosen.endswith("/dbus-daemon"):
        pytest.skip("the fuzzer asks for statistics that the reference does not have")
    return str(SANITIZED) if is_recent(SANITIZED.parent.parent / "built") else chosen


def is_recent(stamp: Path) -> bool:
    """Return whether a build is newer than all its sources."""
    rooms = ("auth", "daemon", "policy", "systemd", "transport")
    sources = [one for room in rooms for one in (ROOT / room).glob("**/*.[cp]*")]
    written = [one.stat().st_mtime for one in sources if one.suffix in (".c", ".py") and one.name[0] != "_"]
    return stamp.exists() and stamp.stat().st_mtime >= max(written)


@pytest.fixture(autouse=True)
def program(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of the fuzzer for this worker."""
    monkeypatch.setenv("FUZZ_BUILD", str(tmp_path_factory.getbasetemp() / "fuzz"))


def run(daemon: str, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, HERE / "run.py", f"--daemon={daemon}", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS + 300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


class TestConversations:
    def test_half_a_minute(self, daemon: str) -> None:
        """Each client gets what it may and must get, and no resource is left when all have disconnected."""
        output = run(daemon, f"--seconds={SECONDS}", f"--episode-seconds={SECONDS // 3}", "--must-reach")
        assert re.search(r"messages received +[0-9,]{5,}", output), output


class TestReplay:
    @pytest.mark.parametrize("profile", ["wide", "tight"])
    def test_the_same_seed_does_the_same(self, daemon: str, profile: str) -> None:
        """Two runs of a seed are identical byte by byte, whatever the bus's timing; another seed differs."""
        arguments = ["--episode=3", f"--profile={profile}", "--rounds=3", "--actions=150", "--digests"]
        first, again, other = (
            re.findall("round [0-9]+: [0-9a-f]+", run(daemon, f"--seed={seed}", *arguments))
            for seed in (7, 7, 8)
        )
        assert len(first) == 3 and first == again
        assert not set(first) & set(other)

    def test_a_round_alone(self, daemon: str) -> None:
        """A round does not depend on those before it, so it can be repeated without them."""
        arguments = ["--seed=7", "--episode=3", "--profile=wide", "--actions=100", "--digests"]
        all_rounds = re.findall("round 2: [0-9a-f]+", run(daemon, *arguments, "--rounds=3"))
        alone = re.findall("round 2: [0-9a-f]+", run(daemon, *arguments, "--round=2", "--rounds=1"))
        assert alone and alone == all_rounds


class TestProof:
    @pytest.mark.parametrize("patch", sorted((HERE / "proof").glob("*.patch")), ids=lambda patch: patch.stem)
    def test_patch_applies(self, patch: Path) -> None:
        """What ``make fuzz-bus-proof`` takes out of the sources is still in them."""
        ran = subprocess.run(
            ["patch", "--dry-run", "-f", "-p1", "-i", patch],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
