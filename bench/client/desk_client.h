/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_DESK_CLIENT_H
#define BUSBENCH_DESK_CLIENT_H

#include "connection.h"
#include "desk.h"
#include "process.h"

#define PROPERTIES "org.freedesktop.DBus.Properties"
#define TICKS "org.busbench.Desk"
#define NAMESPACE_RULES 4
#define WATCH_RULES 3
#define SENDER_RULES 2

enum topic { TOPIC_PROPERTIES, TOPIC_TICK, TOPICS };

/* What a service has said, and what of it a client has heard. */
struct heard {
    uint64_t number[MAX_PROCESSES][TOPICS];
};

struct desk_client {
    const struct desk *desk;
    struct connection c;
    struct buffer out;
    struct heard heard;
};

void desk_open(struct desk_client *client); /* connects, subscribes, and waits until all have */
void desk_hear(struct desk_client *client, const struct message *m);
/* When everybody has stopped: nothing that was said may be missing. */
void desk_finish(struct desk_client *client);

#endif
