/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_BODY_H
#define OMNIBUS_TAKEOVER_BODY_H

#include "wire/message.h"

/*
 * Reads the body of a reply, which message_parse has found to be what its signature says. What is asked for
 * is compared with the signature first, so that a daemon that answers something else is noticed.
 */
struct body {
    const struct message *m;
    uint32_t at; /* from the beginning of the message */
    bool failed; /* read something that is not there; all that follows is empty */
};

/* False: the signature is another one. */
bool body_begin(struct body *body, const struct message *m, const char *signature);
uint32_t body_uint32(struct body *body);
struct span body_string(struct body *body);
/* Where the array ends; its elements have this alignment. */
uint32_t body_array(struct body *body, uint32_t alignment);
/* Of a dict entry or a struct. */
void body_align(struct body *body, uint32_t alignment);
static inline bool body_more(const struct body *body, uint32_t end)
{
    return !body->failed && body->at < end;
}

#endif
