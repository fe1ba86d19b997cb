"""Mediation by AppArmor and SELinux in a guest, compared with dbus-daemon: `make mediation-test`."""
