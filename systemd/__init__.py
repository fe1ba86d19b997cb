"""The protocols of systemd: socket activation, notification, watchdog, journal."""
