/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include "body.h"
#include "match/match.h"
#include "observer.h"
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>

static bool snapshot_refuse(struct snapshot *s, const char *what, struct span which)
{
    snprintf(s->why, sizeof(s->why), "%s: %.*s", what, (int)(which.n < 200 ? which.n : 200), which.s);
    return false;
}

static bool snapshot_begin(struct snapshot *s, struct body *body, const struct message *reply,
                           const char *signature, const char *method)
{
    if (reply->type == MESSAGE_ERROR)
        return snapshot_refuse(s, method, reply->error_name);
    return body_begin(body, reply, signature) || snapshot_refuse(s, method, SPAN("an unexpected answer"));
}

/* Room for one more element; arrays grow by doubling. */
static bool grow(void **array, uint32_t n, size_t size)
{
    if (n & (n - 1)) /* full at 1, 2, 4, ... only */
        return true;
    void *grown = realloc(*array, 2 * ((size_t)n + 1) * size);
    if (grown)
        *array = grown;
    return grown != NULL;
}

static char *text_of(struct span span)
{
    char *text = malloc((size_t)span.n + 1);
    if (text) {
        memcpy(text, span.s, span.n);
        text[span.n] = '\0';
    }
    return text;
}

bool snapshot_take_guid(struct snapshot *s, const struct message *reply)
{
    struct body body;
    if (!snapshot_begin(s, &body, reply, "s", "GetId"))
        return false;
    struct span guid = body_string(&body);
    if (guid.n != sizeof(s->guid) - 1 || strspn(guid.s, "0123456789abcdef") != guid.n)
        return snapshot_refuse(s, "GetId", guid);
    memcpy(s->guid, guid.s, sizeof(s->guid));
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static bool take_name(struct snapshot *s, struct span name)
{
    uint64_t id;
    if (span_equal(name, SPAN(BUS_NAME)))
        return true;
    if (name.n > 0 && name.s[0] == ':') {
        if (!unique_id(name, &id))
            return snapshot_refuse(s, "A unique name that omnibusd would not give", name);
        if (!grow((void **)&s->ids, s->n_ids, sizeof(*s->ids)))
            return snapshot_refuse(s, "ListNames", SPAN("no memory"));
        s->ids[s->n_ids++] = id;
        return true;
    }
    if (!name_is_well_known(name))
        return snapshot_refuse(s, "No name", name);
    if (!grow((void **)&s->names, s->n_names, sizeof(*s->names)))
        return snapshot_refuse(s, "ListNames", SPAN("no memory"));
    s->names[s->n_names] = (struct snapshot_name){.text = text_of(name)};
    return s->names[s->n_names++].text || snapshot_refuse(s, "ListNames", SPAN("no memory"));
}

bool snapshot_take_names(struct snapshot *s, const struct message *reply)
{
    struct body body;
    if (!snapshot_begin(s, &body, reply, "as", "ListNames"))
        return false;
    for (uint32_t end = body_array(&body, 4); body_more(&body, end);) {
        if (!take_name(s, body_string(&body)))
            return false;
    }
    if (s->n_ids > 0)
        qsort(s->ids, s->n_ids, sizeof(*s->ids), compare_ids);
    for (uint32_t i = 1; i < s->n_ids; i++) {
        if (s->ids[i - 1] == s->ids[i])
            return snapshot_refuse(s, "ListNames", SPAN("a name is there twice"));
    }
    return !body.failed || snapshot_refuse(s, "ListNames", SPAN("an unexpected answer"));
}

bool snapshot_take_queue(struct snapshot *s, uint32_t i, const struct message *reply)
{
    struct body body;
    struct snapshot_name *name = &s->names[i];
    if (reply->type == MESSAGE_ERROR)
        return true; /* the snapshot is out of date, which is noticed by its changes */
    if (!snapshot_begin(s, &body, reply, "as", "ListQueuedOwners"))
        return false;
    for (uint32_t end = body_array(&body, 4); body_more(&body, end); name->n++) {
        struct span text = body_string(&body);
        uint64_t id;
        if (!unique_id(text, &id))
            return snapshot_refuse(s, "ListQueuedOwners", text);
        if (!grow((void **)&name->queue, name->n, sizeof(*name->queue)))
            return snapshot_refuse(s, "ListQueuedOwners", SPAN("no memory"));
        name->queue[name->n] = id;
    }
    return !body.failed || snapshot_refuse(s, "ListQueuedOwners", SPAN("an unexpected answer"));
}

/* In the canonical form, which the state has. */
static bool take_rule(struct snapshot *s, uint64_t peer, struct span text)
{
    char canonical[MATCH_MAX_CANONICAL + 1], why[128];
    struct match_rule *rule;
    if (match_rule_parse(text, &rule, why, sizeof(why)) < 0)
        return snapshot_refuse(s, "A match rule that can't be read", text);
    size_t n = match_rule_text(rule, canonical, sizeof(canonical));
    match_rule_free(rule);
    if (n >= sizeof(canonical) || !grow((void **)&s->rules, s->n_rules, sizeof(*s->rules)))
        return snapshot_refuse(s, "A match rule", text);
    char *copy = text_of((struct span){canonical, (uint32_t)n});
    if (!copy)
        return snapshot_refuse(s, "A match rule", SPAN("no memory"));
    s->rules[s->n_rules++] = (struct snapshot_rule){peer, copy, (uint32_t)n, 1};
    return true;
}

struct ordered {
    struct snapshot_rule rule;
    uint32_t place;
};

static int by_text(const void *a, const void *b)
{
    const struct ordered *left = a, *right = b;
    if (left->rule.peer != right->rule.peer)
        return left->rule.peer < right->rule.peer ? -1 : 1;
    int order = strcmp(left->rule.text, right->rule.text);
    if (order != 0)
        return order;
    return left->place < right->place ? -1 : left->place > right->place;
}

static int by_place(const void *a, const void *b)
{
    const struct ordered *left = a, *right = b;
    if (left->rule.peer != right->rule.peer)
        return left->rule.peer < right->rule.peer ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

/* Equal rules of one peer become one with a number of copies; the first of them has the place. */
static bool unite_rules(struct snapshot *s)
{
    struct ordered *all = calloc(s->n_rules > 0 ? s->n_rules : 1, sizeof(*all));
    if (!all)
        return snapshot_refuse(s, "GetAllMatchRules", SPAN("no memory"));
    for (uint32_t i = 0; i < s->n_rules; i++)
        all[i] = (struct ordered){s->rules[i], i};
    qsort(all, s->n_rules, sizeof(*all), by_text);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_rules; i++) {
        if (n > 0 && all[n - 1].rule.peer == all[i].rule.peer &&
            strcmp(all[n - 1].rule.text, all[i].rule.text) == 0) {
            all[n - 1].rule.copies++;
            free(all[i].rule.text);
        } else {
            all[n++] = all[i];
        }
    }
    qsort(all, n, sizeof(*all), by_place);
    for (uint32_t i = 0; i < n; i++)
        s->rules[i] = all[i].rule;
    s->n_rules = n;
    free(all);
    return true;
}

bool snapshot_take_rules(struct snapshot *s, const struct message *reply)
{
    struct body body;
    if (!snapshot_begin(s, &body, reply, "a{sas}", "GetAllMatchRules of org.freedesktop.DBus.Debug.Stats"))
        return false;
    for (uint32_t end = body_array(&body, 8); body_more(&body, end);) {
        uint64_t peer;
        body_align(&body, 8);
        struct span name = body_string(&body);
        if (!unique_id(name, &peer))
            return snapshot_refuse(s, "GetAllMatchRules", name);
        for (uint32_t end_of_rules = body_array(&body, 4); body_more(&body, end_of_rules);) {
            if (!take_rule(s, peer, body_string(&body)))
                return false;
        }
    }
    if (body.failed)
        return snapshot_refuse(s, "GetAllMatchRules", SPAN("an unexpected answer"));
    return unite_rules(s);
}

void snapshot_free(struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_names; i++) {
        free(s->names[i].text);
        free(s->names[i].queue);
    }
    for (uint32_t i = 0; i < s->n_rules; i++)
        free(s->rules[i].text);
    free(s->ids);
    free(s->names);
    free(s->rules);
    *s = (struct snapshot){0};
}

uint32_t snapshot_place(const struct snapshot *s, uint64_t id)
{
    const uint64_t *found = s->n_ids > 0 ? bsearch(&id, s->ids, s->n_ids, sizeof(id), compare_ids) : NULL;
    return found ? (uint32_t)(found - s->ids) : UINT32_MAX;
}

const struct snapshot_name *snapshot_name(const struct snapshot *s, const char *text)
{
    for (uint32_t i = 0; i < s->n_names; i++) {
        if (strcmp(s->names[i].text, text) == 0)
            return &s->names[i];
    }
    return NULL;
}

bool snapshot_eavesdrops(const struct snapshot *s, uint64_t peer)
{
    for (uint32_t i = 0; i < s->n_rules; i++) {
        if (s->rules[i].peer == peer && strstr(s->rules[i].text, "eavesdrop='true'"))
            return true;
    }
    return false;
}
