"""omnibusctl reload: refuses what the bus would pass over, and tells when the bus has reloaded."""

from __future__ import annotations

from pathlib import Path

from support.daemon import Daemon, config

from .conftest import Ctl, StartBus


def main_file(daemon: Daemon) -> Path:
    return daemon.directory / "bus.conf"


class TestReload:
    def test_done(self, ctl: Ctl, any_bus: Daemon) -> None:
        done = ctl("--address", any_bus.address, "reload", "--config", main_file(any_bus))
        assert done.code == 0
        assert done.out.splitlines()[-1] == "reloaded"

    def test_dry_run(self, ctl: Ctl, any_bus: Daemon) -> None:
        done = ctl("--address", any_bus.address, "reload", "--dry-run", "--config", main_file(any_bus))
        assert done.code == 0
        assert done.out.splitlines()[-1] == "no errors; not reloaded"

    def test_error(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        """A broken file in a directory is not an error for the bus; it is one here."""
        broken = tmp_path / "broken.conf"
        broken.write_text("<busconfig>")
        daemon = start_bus(config("unix:path={dir}/bus", extra=f"<includedir>{tmp_path}</includedir>"))
        ask = ("--address", daemon.address, "reload", "--config", main_file(daemon))
        refused = ctl(*ask)
        assert refused.code == 1
        assert f"{broken}:1: E001" in refused.out
        forced = ctl(*ask, "--force")
        assert forced.code == 0
        assert forced.out.endswith("reloaded\n")

    def test_refused_by_the_bus(self, ctl: Ctl, start_bus: StartBus, tmp_path: Path) -> None:
        """A file that breaks between the check and the reload: what the bus says is told."""
        daemon = start_bus()
        good = tmp_path / "good.conf"
        good.write_text(main_file(daemon).read_text())
        main_file(daemon).write_text("<busconfig>")
        done = ctl("--address", daemon.address, "reload", "--config", good)
        assert done.code == 1
        assert "no element found" in done.err
