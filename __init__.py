"""omnibus: a D-Bus message bus that takes dbus-daemon's place."""

__version__ = "0.1.0"
