"""The configuration: its files, and the policy that they define.

A short-lived child reads the files (``load.py``), which needs modules and memory that the daemon would
keep, and a name service that hangs must not stop the bus. ``xml.py`` checks the grammar of a file,
``attributes.py`` its values, ``reader.py`` merges the included files, and ``compiler.py`` makes rules of the
elements. The child hands ``Settings`` back, with the rules as one flat block (``block.py``).

Invariants:

- dbus-daemon's files mean the same here. A file that it refuses is refused, in its words where tests compare.
- A configuration takes effect as a whole or not at all; an unknown element or value is an error.
- The daemon imports only modules that are quick to import: ``load``, ``settings``, ``error``, ``question``.
- The daemon never evaluates the block in Python: both planes do it in C (``transport/relay/policy``).

Rejected: rules as Python objects in the daemon, which made two evaluators that could disagree. The readable
one, ``evaluate.py``, is the oracle of the tests and the engine of tools that explain a decision.
"""
