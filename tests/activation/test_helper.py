"""The choice of the launch helper."""

from __future__ import annotations

import pytest

from omnibus.daemon.activation.helper import OURS, helper_command

THEIRS = "/usr/lib/dbus-1.0/dbus-daemon-launch-helper"
NAME = "org.example.A"


def test_configured() -> None:
    """One that is there is used."""
    assert helper_command(THEIRS, NAME, {THEIRS, *OURS}.__contains__) == (
        f"{THEIRS} {NAME}",
        " (using servicehelper)",
    )


@pytest.mark.parametrize("ours", OURS)
def test_ours(ours: str) -> None:
    """Where dbus-daemon's is missing, ours takes its place, and the log names both."""
    command, text = helper_command(THEIRS, NAME, {ours}.__contains__)
    assert command == f"{ours} {NAME}"
    assert ours in text
    assert THEIRS in text


def test_none() -> None:
    """Without any the configured one is tried, so that the failure names it."""
    assert helper_command(THEIRS, NAME, set().__contains__)[0] == f"{THEIRS} {NAME}"


@pytest.mark.parametrize("configured", ["/opt/helper", f"{THEIRS} --x", "/opt/omnibus-daemon-launch-helper"])
def test_another(configured: str) -> None:
    """A helper of another name is the administrator's choice: it is not replaced."""
    assert helper_command(configured, NAME, set(OURS).__contains__)[0] == f"{configured} {NAME}"
