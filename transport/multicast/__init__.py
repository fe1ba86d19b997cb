"""Groups of Unix sockets, unix_multicast(7): messages that the kernel delivers from client to client."""
