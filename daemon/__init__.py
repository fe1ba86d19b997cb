"""The control plane: everything about a bus that is not the path of a message.

``main.py`` → ``cli.py`` → ``startup.py`` → ``serve.py`` are the steps of a start. In service ``bus.py``
handles the events of the data plane: calls to the driver (``driver/``), names (``names.py``), services to
start (``activation/``), handshakes that the data plane does not support (``accept.py``), and reloads
(``reload.py``).

Invariants:

- One thread, which never blocks: look-ups of users, service directories and configuration files are left to
  threads and child processes (``loop.py``, ``configuration.py``).
- Every call is answered, every parked message delivered or rejected, and every sender resumed, whatever
  raises an exception (``guard.py``).
- The commands that follow from one batch of events take effect together.
- What takes long to import is imported after the first client.

Rejected: everything in Python, or in C (``docs/understanding/decisions/two-planes.md``), and pydantic and
dbus-fast in the daemon, whose import takes too long (``dependencies.md`` there).
"""
