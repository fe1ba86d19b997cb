/* SPDX-License-Identifier: MIT */
#include "record.h"

#include "prng.h"
#include "wire.h"

#include <stdio.h>

#define MAGIC 0x46555a5au

struct record *records_add(struct records *records)
{
    if (records->n == records->capacity) {
        records->capacity = 2 * records->capacity + 64;
        records->at = realloc(records->at, records->capacity * sizeof(*records->at));
        if (!records->at)
            abort();
    }
    struct record *record = &records->at[records->n++];
    *record = (struct record){0};
    return record;
}

void records_free(struct records *records)
{
    free(records->at);
    *records = (struct records){0};
}

/* The argument of an odd topic is a name, of an even one a path. */
void topic_of(uint32_t number, struct topic *topic)
{
    snprintf(topic->path, sizeof(topic->path), "/fuzz/t%u/x%u", number % 4, number);
    snprintf(topic->interface, sizeof(topic->interface), "fuzz.I%u", number % 3);
    snprintf(topic->member, sizeof(topic->member), "M%u", number);
    snprintf(topic->argument, sizeof(topic->argument), number % 2 ? "fuzz.a%u.b" : "/fuzz/a%u/b", number);
}

static size_t put_filler(const struct record *record, uint32_t sender, uint32_t serial, struct bytes *to)
{
    struct prng pattern = prng_of(sender, serial);
    size_t begin = to->size, n = (record->filler + 7) & ~(size_t)7;
    bytes_room(to, n);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = prng_next(&pattern);
        memcpy(to->data + begin + i, &word, 8);
    }
    to->size += record->filler;
    return begin;
}

void record_body(const struct record *record, uint32_t sender, uint32_t serial, struct bytes *to)
{
    struct topic topic;
    to->size = 0;
    if (!record->tagged)
        return;
    topic_of(record->topic, &topic);
    wire_put_string(to, record->big, topic.argument);
    wire_put_u32(to, record->big, MAGIC);
    wire_put_u32(to, record->big, sender);
    wire_put_u32(to, record->big, record->to);
    wire_put_u32(to, record->big, serial);
    wire_put_u32(to, record->big, record->filler);
    put_filler(record, sender, serial, to);
}

uint32_t record_body_least(const struct record *record)
{
    struct topic topic;
    topic_of(record->topic, &topic);
    return (uint32_t)((4 + strlen(topic.argument) + 1 + 3) & ~(size_t)3) + 20;
}
