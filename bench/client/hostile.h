/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_HOSTILE_H
#define BUSBENCH_HOSTILE_H

#include "connection.h"

#include <sys/socket.h>

/* What the clients have in common that harm others. */

void hostile_become(void); /* the user of --uid */
/* Writes all of the header's only part and discards what arrives meanwhile; false: the bus closed the
 * connection. */
bool hostile_pour(struct connection *c, struct msghdr *header);
void hostile_discard(int fd); /* what has arrived */
void hostile_come(struct connection *c,
                  void (*how)(struct connection *)); /* connects, however often it fails */
void hostile_come_again(struct connection *c,
                        void (*how)(struct connection *)); /* and counts it as cut off */

#endif
