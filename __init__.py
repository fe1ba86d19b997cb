"""omnibus: a D-Bus message bus that replaces dbus-daemon."""

__version__ = "0.1.0"
