"""Starting services: for a message to a name that nobody has, or because somebody asks for it."""
