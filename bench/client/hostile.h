/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_HOSTILE_H
#define BUSBENCH_HOSTILE_H

#include "connection.h"

#include <sys/socket.h>

/* Shared by the abusive clients. */

void hostile_set_uid(void); /* switches to the user of --uid */
/* Writes all of the header's only iovec and discards received data meanwhile; false: the bus closed the
 * connection. */
bool hostile_send(struct connection *c, struct msghdr *header);
void hostile_discard(int fd); /* received data */
void hostile_connect(struct connection *c,
                     void (*how)(struct connection *)); /* retries until it is connected */
void hostile_reconnect(struct connection *c, void (*how)(struct connection *)); /* and counts it as cut off */

#endif
