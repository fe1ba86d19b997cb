"""Programs: the native spawner, and the setuid helper that starts system services as their users."""
