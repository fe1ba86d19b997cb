"""Which security modules mediate a bus, and what becomes of it if they can't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omnibus.daemon import mediation
from omnibus.daemon.daemonize import ProcessError
from omnibus.policy.settings import Settings
from omnibus.transport.relay import MediationError, Module, Texts
from support.plane import FakePlane, Lines


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set which modules the kernel has."""

    def have(modules: Module) -> None:
        monkeypatch.setattr(mediation, "apparmor_mediates", lambda: Module.AppArmor in modules)
        monkeypatch.setattr(mediation.selinux, "is_enabled", lambda: Module.SELinux in modules)

    return have


class Plane(FakePlane):
    """A data plane that lets itself be mediated, or raises."""

    def __init__(self, error: MediationError | None = None) -> None:
        super().__init__()
        self.error = error
        self.bus_type: str | None = "not asked"

    def mediate(self, modules: Module, bus_type: str | None) -> None:
        if self.error is not None:
            raise self.error
        self.mediated, self.bus_type = modules, bus_type


class TestDetection:
    """AppArmor mediates where it is on, and the kernel has rules for D-Bus."""

    @pytest.mark.parametrize("enabled", ["Y\n", "N\n", None])
    @pytest.mark.parametrize("mask", ["acquire send receive\n", None])
    def test_files(self, tmp_path: Path, enabled: str | None, mask: str | None) -> None:
        for name, text in (("enabled", enabled), ("mask", mask)):
            if text is not None:
                (tmp_path / name).write_text(text)
        found = mediation.apparmor_mediates(str(tmp_path / "enabled"), str(tmp_path / "mask"))
        assert found == (enabled == "Y\n" and mask is not None)

    @pytest.mark.parametrize("there", [Module(0), Module.AppArmor, Module.SELinux])
    @pytest.mark.parametrize("mode", ["enabled", "disabled", "required"])
    def test_modes(self, kernel: Any, there: Module, mode: str) -> None:
        """<apparmor mode>: SELinux has no such element."""
        kernel(there)
        settings = Settings(apparmor=mode)
        if mode == "required" and Module.AppArmor not in there:
            with pytest.raises(ProcessError, match="AppArmor mediation required but not present"):
                mediation.find_modules(settings)
            return
        expected = there & ~Module.AppArmor if mode == "disabled" else there
        assert mediation.find_modules(settings) == expected


class TestBeginning:
    """The libraries are loaded when a module is there."""

    def test_without_modules(self) -> None:
        plane = Plane(MediationError("not asked", missing=True))
        mediation.begin(plane, Module(0), Settings(), Lines())  # type: ignore[arg-type]
        assert not plane.mediated

    def test_settings(self) -> None:
        plane, log = Plane(), Lines()
        settings = Settings(bus_type="system", selinux=(("a.b", "u:r:t"),))
        mediation.begin(plane, Module.SELinux, settings, log)  # type: ignore[arg-type]
        assert (plane.mediated, plane.bus_type) == (Module.SELinux, "system")
        assert plane.texts[Texts.CONTEXTS] == {"a.b": "u:r:t"}
        assert log.lines == ["SELinux D-Bus mediation is enabled"]

    def test_resumed(self) -> None:
        """A bus that went on with a state is mediated already."""
        plane = Plane(MediationError("not asked", missing=True))
        plane.mediated = Module.AppArmor
        mediation.begin(plane, Module.AppArmor, Settings(), Lines())  # type: ignore[arg-type]

    @pytest.mark.parametrize("mode", ["enabled", "required"])
    def test_missing_library(self, mode: str) -> None:
        plane, log = Plane(MediationError("libapparmor.so.1: no such file", missing=True)), Lines()
        settings = Settings(apparmor=mode)
        if mode == "required":
            with pytest.raises(ProcessError, match="no such file"):
                mediation.begin(plane, Module.AppArmor, settings, log)  # type: ignore[arg-type]
            return
        mediation.begin(plane, Module.AppArmor, settings, log)  # type: ignore[arg-type]
        assert "AppArmor does not mediate this bus: libapparmor.so.1: no such file" in "\n".join(log.lines)

    def test_failure(self) -> None:
        """A module that does not answer is no reason to do without it."""
        plane = Plane(MediationError("Error getting context of bus", missing=False))
        with pytest.raises(ProcessError, match="Error getting context of bus"):
            mediation.begin(plane, Module.SELinux, Settings(), Lines())  # type: ignore[arg-type]


class TestTexts:
    """What the modules are told of names follows the configuration."""

    def test_not_mediated(self) -> None:
        plane = FakePlane()
        mediation.set_contexts(plane, Settings(selinux=(("a.b", "c"),)))  # type: ignore[arg-type]
        assert plane.texts == {}
