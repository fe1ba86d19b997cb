"""``omnibusctl``: what a bus is doing, and why.

``cli.py`` finds the verb, and imports its module of ``verbs/`` alone; ``exits.py`` has the exit codes,
``output.py`` tables, colours and JSON. ``buses.py`` is the connection to a bus and what that bus can answer,
``subjects.py`` users as the policy sees them, ``source.py`` where rules come from, ``checks/`` what
``omnibusctl check`` finds.

Invariants:

- The daemon never imports this folder. Here the modules of the daemon are used that are a client's: its
  connection, its marshalling, and the reader of service files. Nothing else is imported at the start.
- Only the standard library, and no import at the top of ``cli.py`` that a verb may not need.
- What comes from clients (names, commands, bodies) is escaped before a terminal sees it.
- A column that a bus can't fill shows ``-``, and its value is null in JSON: unknown is not 0.
- What the policy keeps from a user no verb shows: the bus decides who may ask, not this program.

Rejected: a client of its own beside that of ``omnibusd --check``, as there would be two to keep right;
argparse for all verbs at once, whose parsers take longer to make than ``why`` takes to answer; a pager.
"""
