"""Starting programs: the native spawner, and the helper that starts system services as their users."""
