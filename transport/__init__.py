"""The transports: addresses and listeners, and the two ways in which a message reaches its recipient.

The modules here parse server addresses and make listeners, once, at the start. ``relay/`` is the data plane
in C: it accepts connections, routes messages, and enforces policy and quotas in a thread of its own.
``multicast/`` offloads messages between clients to unix_multicast(7), where the kernel has it.

Invariants:

- Every message passes the policy on both ways; the kernel is only given filters that the relay has derived.
- No Python runs on the path of a message. What the relay does not decide it reports as an event, and it never
  waits for the control plane: only the sender of the message that was reported is stopped.
- The planes share two queues, of events and of commands, and nothing else. Commands take effect as a batch.
- Without the kernel module everything goes through the relay, with the same order and the same errors.

Rejected: io_uring, BPF sockmap, and a data plane without a thread of its own, which would wait for Python's
lock (``docs/understanding/decisions/``).
"""
