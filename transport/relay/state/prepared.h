/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_PREPARED_H
#define OMNIBUS_PREPARED_H

#include "base/list.h"
#include "wire/message.h"

/*
 * Prepared replies: answers of the control plane that depend on nothing but the call, such as Introspect and
 * GetAll. The first such call goes up. With its reply the control plane says that it holds for all equal
 * calls, and these are answered here from then on. So the content has one author, and a new method needs
 * nothing here.
 *
 * Calls are equal if path, interface, member, signature, byte order and body are. The control plane marks
 * replies to a finite number of calls only, not to a path that a client made up; PREPARED_MAX is for its
 * mistakes.
 *
 * Rejected: a table that the control plane fills at its start, in which each answer would need a key by which
 * both planes recognise the call, and which costs time before any of them is needed.
 */
#define PREPARED_MAX 64u

struct prepared {
    struct list all;
    uint32_t n;
};

struct prepared_reply {
    struct list in_all;
    struct span path, interface, member, arguments; /* of the call; arguments: its signature */
    bool big_endian;
    const uint8_t *argument; /* the body of the call */
    uint32_t argument_size;
    struct span signature; /* of the reply */
    const uint8_t *body;
    size_t size;
    char data[];
};

void prepared_init(struct prepared *prepared);
void prepared_free(struct prepared *prepared);
/* Keeps the reply to a call; without memory or room it is not kept. */
void prepared_add(struct prepared *prepared, const struct message *call, struct span signature,
                  const uint8_t *body, size_t size);
const struct prepared_reply *prepared_find(const struct prepared *prepared,
                                           const struct message *call); /* NULL: none */

#endif
