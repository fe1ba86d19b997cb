/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_TALK_H
#define FUZZ_TALK_H

#include "world.h"

/* What the plan wants to be said. */
struct wish {
    uint8_t type, flags;
    uint8_t n_fds;
    bool big, tagged;
    bool forged;  /* with a SENDER of its own making */
    bool unknown; /* with a field that the specification doesn't know */
    enum mode mode;
    uint32_t topic;
    uint32_t to;
    uint32_t size;         /* of the whole, if it is tagged and that is enough */
    uint32_t reply_serial; /* of a reply without a call; its mode is MODE_TWICE */
};

/* Part of the plan. */
void talk(struct world *w, struct client *c, const struct wish *wish);
/* The same message again, with its serial. */
void talk_again(struct world *w, struct client *c);
/* The answer to the call: MODE_RETURN, MODE_ERROR, or MODE_TWICE for one that is the second. */
void talk_answer(struct world *w, struct client *c, struct client *caller, uint32_t serial, enum mode mode);
/* A call of the driver. The interface may be NULL: org.freedesktop.DBus. */
struct record *talk_driver(struct world *w, struct client *c, const char *interface, const char *member,
                           const char *signature, const struct bytes *body, uint8_t flags);
/* A call of the driver that is not part of the plan. Its serial. */
uint32_t talk_sync(struct world *w, struct client *c, const char *member, const char *argument);

#endif
