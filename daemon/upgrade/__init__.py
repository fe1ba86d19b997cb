"""Upgrades: the running bus becomes the installed program, in the same process and with all its clients.

The process writes its state (``docs/understanding/state.md``) and executes the program anew, which takes the
connections over from the descriptors that stay open. ``upgrader.py`` is the sequence up to execve(2),
``rehearsal.py`` the trial of the state in a child before it, ``resume.py`` the start after it, and
``program.py`` what may be executed. The data plane writes and reads its tables itself, and serves before
anything here runs again (``transport/resumption/``, with the way back); ``control.py`` and ``sections.py``
have the tables of the control plane.

Invariants:

- Until execve(2) has succeeded every failure leaves the bus as it was, and is told to the caller.
- After it nothing is ever started empty: what can't be taken over whole is handed to the previous program,
  and if there is none the process fails.
- State is read from a sealed memfd of root or of the bus's own user, and checked field by field nevertheless.
- Messages that the control plane was handed are not written here. The data plane keeps them, and hands them
  up again: they are decided anew, and what was begun for them is joined.

Rejected: a new process beside the old one, which would change the pid, the parent of services and the cgroup;
the service manager's descriptor store, whose cost is quadratic; and shared structures in memory, whose layout
would have to stay the same.
"""
