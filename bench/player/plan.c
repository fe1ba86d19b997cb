/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include "../client/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION "omnibus-plan 1"
#define MOST 10000000u /* events, ops or connections, and bytes of a message above that */
#define MOST_SIZE (1u << 27)

struct reader {
    const char *path;
    unsigned line;
    char *at; /* NULL: the line has ended */
};

static _Noreturn void bad(const struct reader *reader, const char *what)
{
    die("%s:%u: %s", reader->path, reader->line, what);
}

static void *allocate(size_t n, size_t size)
{
    void *found = calloc(n ? n : 1, size);
    if (!found)
        die("out of memory");
    return found;
}

static char *text(struct reader *reader)
{
    if (!reader->at)
        bad(reader, "too few words");
    return strsep(&reader->at, "\t");
}

static uint64_t parse_number(const struct reader *reader, const char *word, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(word, &end, 10);
    if (errno || !*word || *word < '0' || *word > '9' || *end || value > most)
        bad(reader, "a number is malformed or out of range");
    return value;
}

static uint32_t number(struct reader *reader, uint32_t most)
{
    return (uint32_t)parse_number(reader, text(reader), most);
}

static uint32_t event_number(struct reader *reader, const char *word, const struct plan *plan)
{
    if (!plan->n_events)
        bad(reader, "there are no events");
    return (uint32_t)parse_number(reader, word, plan->n_events - 1);
}

static uint32_t optional_event(const struct plan *plan, struct reader *reader)
{
    const char *word = text(reader);
    return strcmp(word, "-1") ? event_number(reader, word, plan) : NO_EVENT;
}

static char *next_line(struct reader *reader, char **rest)
{
    char *line = strsep(rest, "\n");
    reader->line++;
    reader->at = line;
    if (!line)
        bad(reader, "the plan ends early");
    return line;
}

static uint32_t hash(const char *key)
{
    uint32_t value = 2166136261u;
    for (; *key; key++)
        value = (value ^ (uint8_t)*key) * 16777619u;
    return value;
}

uint32_t plan_find(const struct plan *plan, const char *key)
{
    uint32_t id = plan->buckets[hash(key) & (plan->n_buckets - 1)];
    while (id != NO_EVENT && strcmp(plan->events[id].key, key))
        id = plan->events[id].next;
    return id;
}

static void read_event(struct plan *plan, struct reader *reader, uint32_t id)
{
    struct event *event = &plan->events[id];
    if (strcmp(text(reader), "E"))
        bad(reader, "no event");
    *event = (struct event){.waiting = NO_EVENT};
    event->line = number(reader, UINT32_MAX);
    event->least = number(reader, MOST);
    event->most = number(reader, MOST);
    event->answer = text(reader);
    if (!reader->at)
        bad(reader, "an event without a key");
    event->key = reader->at;
    if (plan_find(plan, event->key) != NO_EVENT)
        bad(reader, "an event twice");
    uint32_t *bucket = &plan->buckets[hash(event->key) & (plan->n_buckets - 1)];
    event->next = *bucket;
    *bucket = id;
}

static void read_waits(const struct plan *plan, struct reader *reader, struct op *op)
{
    char *list = text(reader);
    if (!*list)
        return;
    size_t n = 1;
    for (const char *at = list; *at; at++)
        n += *at == ',';
    uint32_t *waits = allocate(n, sizeof(*waits));
    for (char *word; (word = strsep(&list, ","));)
        waits[op->n_waits++] = event_number(reader, word, plan);
    op->waits = waits;
}

static const char *absent_if_empty(const char *word)
{
    return *word ? word : NULL;
}

static void read_op(struct plan *plan, struct reader *reader, struct op *op)
{
    if (strcmp(text(reader), "O"))
        bad(reader, "no op");
    op->connection = number(reader, plan->n_connections - 1);
    op->line = number(reader, UINT32_MAX);
    op->t = parse_number(reader, text(reader), UINT64_MAX / 1000000);
    op->kind = *text(reader);
    if (!op->kind || !strchr("HcresX", op->kind))
        bad(reader, "an unknown kind of op");
    op->start = number(reader, 1);
    read_waits(plan, reader, op);
    op->broadcasts = number(reader, MOST);
    op->own = optional_event(plan, reader);
    op->reply = optional_event(plan, reader);
    op->flags = (uint8_t)number(reader, UINT8_MAX);
    op->serial = number(reader, UINT32_MAX);
    op->reply_serial = number(reader, UINT32_MAX);
    op->dest = absent_if_empty(text(reader));
    op->path = absent_if_empty(text(reader));
    op->interface = absent_if_empty(text(reader));
    op->member = absent_if_empty(text(reader));
    op->error = absent_if_empty(text(reader));
    op->body = text(reader);
    op->size = number(reader, MOST_SIZE);
    op->fds = number(reader, 16);
    op->group = text(reader);
    if (reader->at)
        bad(reader, "too many words");
}

static char *slurp(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        die("%s: %s", path, strerror(errno));
    char *content = NULL;
    size_t capacity = 0;
    ssize_t size = getdelim(&content, &capacity, 0, file);
    fclose(file);
    if (size <= 0)
        die("%s: cannot be read, or is empty", path);
    if (content[size - 1] == '\n')
        content[size - 1] = 0;
    return content;
}

static void chain(struct plan *plan)
{
    uint32_t *last = allocate(plan->n_connections, sizeof(*last));
    for (uint32_t i = 0; i < plan->n_connections; i++)
        plan->first[i] = last[i] = plan->n_ops;
    for (uint32_t i = 0; i < plan->n_ops; i++) {
        uint32_t connection = plan->ops[i].connection;
        if (last[connection] == plan->n_ops)
            plan->first[connection] = i;
        else
            plan->ops[last[connection]].next = i;
        plan->ops[i].next = plan->n_ops;
        last[connection] = i;
    }
    free(last);
}

void plan_read(struct plan *plan, const char *path)
{
    struct reader reader = {.path = path};
    char *rest = slurp(path);
    if (strcmp(next_line(&reader, &rest), VERSION))
        bad(&reader, "no plan of this version");
    next_line(&reader, &rest);
    if (strcmp(text(&reader), "C"))
        bad(&reader, "no counts");
    plan->n_connections = number(&reader, 100000);
    plan->n_events = number(&reader, MOST);
    plan->n_ops = number(&reader, MOST);
    if (!plan->n_connections)
        bad(&reader, "no connections");
    for (plan->n_buckets = 16; plan->n_buckets < 2 * plan->n_events;)
        plan->n_buckets *= 2;
    plan->events = allocate(plan->n_events, sizeof(*plan->events));
    plan->ops = allocate(plan->n_ops, sizeof(*plan->ops));
    plan->first = allocate(plan->n_connections, sizeof(*plan->first));
    plan->buckets = allocate(plan->n_buckets, sizeof(*plan->buckets));
    for (uint32_t i = 0; i < plan->n_buckets; i++)
        plan->buckets[i] = NO_EVENT;
    for (uint32_t i = 0; i < plan->n_events; i++) {
        next_line(&reader, &rest);
        read_event(plan, &reader, i);
    }
    for (uint32_t i = 0; i < plan->n_ops; i++) {
        next_line(&reader, &rest);
        read_op(plan, &reader, &plan->ops[i]);
    }
    reader.line++;
    if (rest)
        bad(&reader, "something behind the last op");
    chain(plan);
}
