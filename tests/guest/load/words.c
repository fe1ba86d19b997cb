/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

uint32_t random_below(uint32_t *state, uint32_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % n;
}

uint32_t random_begin(int number)
{
    uint32_t state = (load.seed + 1) * 2654435761u + (uint32_t)number * 40503u;
    return state ? state : 1;
}

void words_send(struct connection *c, struct header *header, uint32_t serial, const uint32_t *words, int n)
{
    static struct buffer out;
    static const char *const signatures[] = {NULL, "u", "uu", "uuu"};
    header->path = header->type == RETURN ? NULL : PATH;
    header->interface = header->type == RETURN ? NULL : INTERFACE;
    header->signature = signatures[n];
    header->body_size = (uint32_t)n * 4;
    header_write(&out, header);
    write_u32(out.data + SERIAL_AT, serial);
    buffer_put(&out, words, (size_t)n * 4);
    connection_send(c, out.data, out.size);
}

uint32_t word(const struct message *m, int at)
{
    if (m->body_size < (uint32_t)(at + 1) * 4)
        die("%s from %s: %u bytes", shown(m->member), shown(m->sender), m->body_size);
    return read_u32(m->body + at * 4);
}

uint32_t driver_ask(struct connection *c, const char *member, const char *text)
{
    struct buffer body = {0};
    buffer_string(&body, text);
    uint32_t serial = driver_send(c, member, "s", &body);
    free(body.data);
    return serial;
}

void become_monitor(struct connection *c)
{
    struct buffer out = {0};
    struct message m;
    header_write(&out, &(struct header){.type = CALL,
                                        .path = "/org/freedesktop/DBus",
                                        .interface = BUS ".Monitoring",
                                        .member = "BecomeMonitor",
                                        .destination = BUS,
                                        .signature = "asu",
                                        .body_size = 8});
    write_u32(out.data + SERIAL_AT, ++c->serial);
    buffer_put(&out, (uint32_t[2]){0}, 8);
    connection_send(c, out.data, out.size);
    free(out.data);
    driver_reply(c, &m, c->serial, "BecomeMonitor", "");
}

void pause_for(uint32_t microseconds)
{
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000l};
    nanosleep(&time, NULL);
}

bool next_here(struct connection *c, struct message *m)
{
    size_t want;
    while (!connection_buffered(c, m, &want)) {
        if (!connection_fill(c, want, MSG_DONTWAIT))
            return false;
    }
    return true;
}
