/* SPDX-License-Identifier: MIT */

/*
 * Whatever a daemon reads and writes: nothing is read beyond the end, the bytes that are kept are those that
 * came last, and each client has at most one descriptor.
 */

#include "mapping.h"
#include "traffic.h"

#include <stdlib.h>

#define N_CLIENTS 4
#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

struct input {
    const uint8_t *at, *end;
};

static uint8_t byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

/* A piece of the rest, in memory of its own, so that reading beyond it is noticed. */
static uint8_t *piece(struct input *in, size_t *n)
{
    size_t left = (size_t)(in->end - in->at), wanted = byte(in) * 4u;
    left = (size_t)(in->end - in->at);
    *n = wanted < left ? wanted : left;
    uint8_t *bytes = malloc(*n > 0 ? *n : 1);
    if (*n > 0)
        memcpy(bytes, in->at, *n);
    in->at += *n;
    return bytes;
}

static void act(struct traffic *t, struct input *in)
{
    uint8_t what = byte(in);
    int fd = what % N_CLIENTS;
    size_t n;
    uint8_t *bytes = piece(in, &n);
    switch (what / N_CLIENTS % 6) {
    case 0:
    case 1:
        traffic_read(t, fd, &(struct traffic_read){bytes, n, true, what & 64, what >> 7});
        break;
    case 2:
    case 3:
        traffic_write(t, fd, bytes, n, what & 64);
        break;
    case 4:
        traffic_open(t, fd, what & 64);
        break;
    default:
        traffic_close(t, fd);
        break;
    }
    free(bytes);
}

static void assert_consistent(struct traffic *t)
{
    const struct sockets none = {0};
    const struct mapping_wanted wanted[] = {{0, 0}, {1, 0}, {2, 0}};
    size_t unknown = mapping_conclude(t, &none, wanted, 3);
    for (uint64_t id = 0; id < 3; id++) {
        int fd = traffic_fd(t, id);
        unknown -= fd < 0;
        ASSERT(fd < 0 || traffic_client(t, (uint64_t)fd)->id == id);
    }
    ASSERT(unknown == 0);
    for (size_t fd = 0; fd < t->n; fd++) {
        const struct traffic_client *client = traffic_client(t, fd);
        ASSERT(!client || client->in.size <= client->in.room);
        ASSERT(!client || client->in.in_step || client->in.size <= STREAM_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct traffic t;
    if (!traffic_init(&t))
        return 0;
    t.observer = 0;
    for (int fd = 0; fd < N_CLIENTS; fd++)
        traffic_open(&t, fd, fd & 1);
    while (in.at < in.end)
        act(&t, &in);
    assert_consistent(&t);
    traffic_free(&t);
    return 0;
}
