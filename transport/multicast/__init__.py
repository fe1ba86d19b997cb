"""The kernel's groups of Unix sockets, unix_multicast(7): messages go from client to client."""
