/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_RELAY_MEDIATE_H
#define OMNIBUS_RELAY_MEDIATE_H

#include <stddef.h>
#include <stdint.h>

struct relay;

/*
 * The part of the interface to the control plane that is about security modules of the kernel, which mediate
 * names and messages besides the policy (mediation/).
 */

#pragma GCC visibility push(default)
/* cffi: begin */
/*
 * Lets modules (enum mediation_module) be asked, from the next relay_commit on; the library of each is loaded
 * at once. 0; or a negative errno, and why not: -ENOENT if a library is not there. bus_type: NULL: none is
 * configured. Of a bus that AppArmor mediates those are members of the group that it does not confine.
 */
int relay_mediate(struct relay *relay, uint32_t modules, const char *bus_type, char *why, size_t why_size);
uint32_t relay_mediated(struct relay *relay); /* those of a bus, also after a restore */
/*
 * Sets the texts that modules are told of names (enum mediation_texts_kind). A body is name and text in turn,
 * each with a NUL; -EINVAL. Without effect on a bus that is not mediated.
 */
int relay_set_texts(struct relay *relay, uint32_t kind, const uint8_t *body, size_t size);
struct relay_question { /* whether modules allow a message, or a name; texts: NULL: absent */
    uint64_t sender;    /* a peer */
    uint64_t recipient; /* a peer; 0xffffffffffffffff: the bus, or a service yet to be started */
    uint32_t type;      /* of the message; 0: may the sender own the name destination? */
    _Bool requested;    /* it is the reply to a call */
    const char *destination, *path, *interface, *member, *error_name;
};
/*
 * Asks the modules, for people: nothing is recorded. RELAY_EVENT_EXPORT follows, with one element for each
 * question to a module; none if the bus is not mediated, or the sender is gone.
 */
int relay_explain(struct relay *relay, const struct relay_question *question);
/*
 * The right to write audit records (mediation/audit_right.h) of the calling thread, over a change of the user
 * or an execve(2). KEEP returns 1 if there is one, and else 0; SETTLE 0 or a negative errno; the others 0.
 */
enum relay_audit_right {
    RELAY_AUDIT_KEEP = 1,
    RELAY_AUDIT_SETTLE = 2,
    RELAY_AUDIT_PASS = 3,
    RELAY_AUDIT_HOLD = 4,
};
int relay_audit_right(uint32_t step);
/* cffi: end */
#pragma GCC visibility pop

#endif
