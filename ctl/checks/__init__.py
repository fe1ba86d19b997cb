"""What ``omnibusctl check`` finds in configuration and service files.

``finding.py`` has the codes, ``relation.py`` says of two rules whether one covers the other, ``rules.py``
finds faults by them, ``services.py`` reads service files and units, ``configuration.py`` brings all together.

Invariants:

- A finding about a rule that never matters (I006, W009, I010, I011) is a proof: without the rule no message
  that a library sends and no name is judged otherwise. Where the proof is not at hand nothing is said.
- Files are read by the reader of the bus itself, so a file is passed over here if and only if it is there.
- What is said of one file and a bus is said of that file alone: ``check FILE`` judges it beside the others.
"""
