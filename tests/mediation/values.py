"""What the random rules and the random messages of a run are made of: few values, so that they often meet."""

from __future__ import annotations

ALL, NO_NAMES, MUTE, SWITCHED = 0, -1, -2, -3
"""The numbers of the policies that are not random: one allows all; the others all but owning a name, all but
messages of the first label to the second, and these if a boolean says so."""
LABELS = ("one", "two", "three", "four")
"""AppArmor's profiles, and SELinux's types: of one client each."""
NAMES = ("org.example.A", "org.example.B", "org.example.A.C", "net.example.D")
PATHS = ("/", "/org/example/Object", "/org/example/Object/Child")
INTERFACES = ("org.example.Interface", "org.example.Other")
MEMBERS = ("Member", "Other", "Third")
ERRORS = ("org.example.Error.One", "org.example.Error.Two")
LONG = "/" + "x" * 5000
"""A path of which a question to AppArmor is longer than the kernel takes."""
