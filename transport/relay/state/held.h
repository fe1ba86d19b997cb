/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_HELD_H
#define OMNIBUS_HELD_H

#include "base/account.h"
#include "state/outgoing.h"
#include "wire/message.h"

/* A message that waits for the control plane, with its own copy of the bytes, its descriptors and its charge.
 */
struct held {
    struct message m; /* its spans point into data */
    struct fds *fds;
    struct token token;
    uint8_t data[];
};

/* beside: the cost of what is allocated together with it, and lives as long. NULL: no memory. */
struct held *held_new(const struct message *m, struct fds *fds, struct account *payer, uint64_t beside);
void held_free(struct held *held); /* NULL is fine */

#endif
