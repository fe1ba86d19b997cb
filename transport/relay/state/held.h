/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_HELD_H
#define OMNIBUS_HELD_H

#include "base/account.h"
#include "state/outgoing.h"
#include "wire/message.h"

/* A message that waits for the control plane: a copy of its bytes, its descriptors and its charge. */
struct held {
    struct message m; /* spans point into data */
    struct fds *fds;
    struct token token;
    uint8_t data[];
};

/* beside: the cost of memory with the same lifetime, charged too. NULL: no memory. */
struct held *held_new(const struct message *m, struct fds *fds, struct account *payer, uint64_t beside);
void held_free(struct held *held); /* accepts NULL */

#endif
