/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_RESUME_H
#define OMNIBUS_RESUME_H

#include "resume/state_read.h"
#include "state/bus.h"

/*
 * The resume layer: a bus as a state, and a state as a bus. It reads and makes the tables of all layers
 * below.
 *
 * - A frozen bus reads nothing and writes only what commands say (freeze.c). It can be dumped when all that
 *   was begun is over: no output is pending, no connection is leaving, the control plane has all events.
 * - dump.c and restore.c go through the sections; each section_*.c has both directions of a few of them,
 *   because they have to agree. What follows from something else is not in a state but made anew: charges and
 *   quotas, users, the index of match rules, roles and identities, epoll.
 * - A restore takes nothing over before all is built: until then descriptors are -1, and their places are
 *   noted in struct restore. So a state that is refused leaves no trace.
 * - dump(restore(dump(bus))) is dump(bus), byte for byte. Therefore peers are written by id, and everything
 *   else in the order that clients can observe.
 *
 * Rejected: to have each layer write its own part, which would put half of the format's code between what
 * serves messages; and to leave connections with something unusual (queues, monitors, descriptors under way)
 * behind.
 */

/* Stops everything but commands; event is pushed once the output is written. Takes ownership of it. */
void freeze(struct bus *bus, struct event *event);
void freeze_end(struct bus *bus);
/* What a frozen bus does after commands: writes what they said, and reports all that is to be reported. */
void freeze_settle(struct bus *bus);

/*
 * Writes the state of a frozen bus, followed by n sections made elsewhere. 0 or a negative errno with a text
 * in why; -EAGAIN: something is not over yet.
 */
struct dump_result {
    uint64_t size;
    uint32_t n_descriptors;
    char why[128];
};
int dump(struct bus *bus, int fd, const uint8_t *sections, size_t size, struct dump_result *result);

/*
 * Fills an empty bus, which is frozen then, and pushes its first events. 0; -EINVAL or another negative errno
 * with a text in why: the bus may be half-filled, but has no descriptor.
 */
int restore(struct bus *bus, const uint8_t *state, size_t size, bool rehearsal, char *why, size_t why_size);
/* The descriptors in a state, of which at most max are stored. Their number; -EINVAL. */
int64_t restore_descriptors(const struct state_view *view, int *fds, size_t max);

#endif
