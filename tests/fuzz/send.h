/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_SEND_H
#define FUZZ_SEND_H

#include "world.h"

/* A message that the plan wants to send. */
struct wish {
    uint8_t type, flags;
    uint8_t n_fds;
    bool big, tagged;
    bool forged;  /* with a forged SENDER */
    bool unknown; /* with an unknown header field */
    enum mode mode;
    uint32_t topic;
    uint32_t to;
    uint32_t size;         /* of the whole message, if it is tagged and this is enough */
    uint32_t reply_serial; /* of a reply without a call; its mode is MODE_TWICE */
};

/* Part of the plan, whether or not the bus has disconnected the client. */
void send_wish(struct world *w, struct client *c, const struct wish *wish);
/* The same for an action that has noted what it does, and looks at the client first. */
void send_more(struct world *w, struct client *c, const struct wish *wish);
/* Sends the same message again, with the same serial. */
void send_again(struct world *w, struct client *c);
/* Sends the reply to a call: MODE_RETURN, MODE_ERROR, or MODE_TWICE for the second one. */
void send_answer(struct world *w, struct client *c, struct client *caller, uint32_t serial, enum mode mode);
/* Calls the driver. The interface may be NULL: org.freedesktop.DBus. */
struct record *send_driver(struct world *w, struct client *c, const char *interface, const char *member,
                           const char *signature, const struct bytes *body, uint8_t flags);
/* Calls the driver outside the plan; returns the serial. */
uint32_t send_sync(struct world *w, struct client *c, const char *member, const char *argument);

#endif
