"""Container instances (org.freedesktop.DBus.Containers1): who a client is, beyond what the kernel knows.

A container manager, which is any client, asks for a server: a socket of its own that it binds into a
container. All connections to that socket belong to one instance, with the type, the name and the metadata
that the manager has given it, and others can ask for these. ``instance.py`` is one instance, ``table.py`` has
all of them, ``directory.py`` says where the sockets are; ``driver/containers.py`` has the methods.

Invariants:

- What a connection belongs to is fixed before its first message, and kept by both planes: in its credentials,
  which have the path of the instance, and here. Nothing takes a connection out of an instance.
- A connection of an instance is never privileged, has the uid of the manager, and makes no instances.
- An instance exists while its server listens or a connection belongs to it. Then InstanceRemoved is sent, and
  its path is not used again.
- The server of an instance ends with its manager.
- Every table is bounded by the four limits on containers, checked before anything is read or made.

The sockets are accepted by the data plane and handed up before anything is read, so that the handshake is
``accept.py``'s, and the fast way of other connections has no branch for them. Rejected: servers in processes
of their own, which would forward messages; and groups of unix_multicast(7) beside containers, since the
kernel writes no CONTAINER_INSTANCE: with one there is not the other.
"""
