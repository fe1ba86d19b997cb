/* SPDX-License-Identifier: MIT */
#ifndef BUSBENCH_DESKTOP_CLIENT_H
#define BUSBENCH_DESKTOP_CLIENT_H

#include "connection.h"
#include "desktop.h"
#include "process.h"

#define PROPERTIES "org.freedesktop.DBus.Properties"
#define TICKS "org.busbench.Desk"
#define NAMESPACE_RULES 4
#define WATCH_RULES 3
#define SENDER_RULES 2

enum topic { TOPIC_PROPERTIES, TOPIC_TICK, TOPICS };

/* The signals of a service, and how many of them a client has received. */
struct heard {
    uint64_t number[MAX_PROCESSES][TOPICS];
};

struct desktop_client {
    const struct desktop *desktop;
    struct connection c;
    struct buffer out;
    struct heard heard;
};

void desktop_open(struct desktop_client *client); /* connects, subscribes, and waits until all have */
void desktop_receive(struct desktop_client *client, const struct message *m);
/* After all have stopped: dies if a signal is missing. */
void desktop_finish(struct desktop_client *client);

#endif
