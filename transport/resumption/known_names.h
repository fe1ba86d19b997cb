/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_KNOWN_NAMES_H
#define OMNIBUS_KNOWN_NAMES_H

#include "resume/state_read.h"
#include "resume/state_write.h"

/*
 * The section NAMES, which the control plane writes otherwise: the queue of each name, the flags of each
 * request, and the order of each peer's requests (docs/understanding/state.md).
 */
struct known_request {
    uint64_t peer;
    uint32_t flags, place;
};

struct known_name {
    char *text;
    struct known_request *queue;
    uint32_t n;
};

struct known_names {
    struct known_name *all;
    uint32_t n, room;
};

/* 0; -EINVAL: it is no such section; -ENOMEM. known_names_free is called in any case. */
int known_names_read(struct known_names *names, struct state_reader *r);
void known_names_put(const struct known_names *names, struct state_writer *w);
void known_names_free(struct known_names *names);
/* NAMED: a peer was given a name that was free, or has asked again for its own. 0 or -ENOMEM. */
int known_names_give(struct known_names *names, const char *text, uint64_t peer, uint32_t flags);
/* Takes a peer out of a queue, if it is in it. */
void known_names_leave(struct known_names *names, const char *text, uint64_t peer);
/* The name of the peer's latest request. NULL: there is none. */
const char *known_names_latest(const struct known_names *names, uint64_t peer);

#endif
