/* SPDX-License-Identifier: MIT */
#ifndef INSTRUCTIONS_SCRIPT_H
#define INSTRUCTIONS_SCRIPT_H

#include "../../transport/relay/wire/marshal.h"
#include "../../transport/relay/wire/message.h"

#define SCRIPT_CLIENTS 9

/* One repeated action of a client: the bytes of one or more messages. */
struct step {
    int from;
    int to, last; /* the range of receivers, of it or of the driver's reply */
    uint8_t type; /* of the messages that they receive */
    int messages; /* that each of them receives */
    struct marshal bytes;
};

struct script {
    const char *name;
    int clients;
    const char *rule; /* of all clients but the first; NULL: none */
    int counted;      /* messages that come out of one round: what the instructions are divided by */
    int n_steps;
    struct step steps[2];
};

enum { SCRIPTS = 5 };
extern struct script scripts[SCRIPTS];
void scripts_write(void); /* the bytes of all steps */
void script_add_match(struct marshal *out, const char *rule);

#endif
