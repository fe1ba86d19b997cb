"""Activation: starting services, for a message to a name without an owner or on request.

``activation.py`` has the life of a start: look-up in the catalogue (``services.py``), check of policy and
limits, start of a program (``spawner.py``, ``command_line.py``) or of a unit by systemd (``manager.py``,
``systemd.py``, ``transient.py``, ``units.py``), and the answers when the name has an owner or the start fails
(``waiters.py``).

Invariants:

- There is one start per name; every message and call that waits for the name is attached to it, and is
  answered exactly once, also if an exception ends the start.
- With systemd every service is in a unit, its own or a transient one, and none is a child of the bus.
- The program, its user and arguments come from .service files only, never from the caller.
- The system bus starts programs through the setuid launch helper alone (``daemon/launch``).
- The directories are read in a thread, and programs never block the loop.

Rejected: change notification by inotify alone, which misses changes behind links (``services.py``), and
systemd's signals for failed units, which carry names that a service file doesn't know (``units.py``).
"""
