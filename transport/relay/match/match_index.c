/* SPDX-License-Identifier: MIT */
#include "match/match_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define SWEEP_STEPS 16 /* between readings of the clock */

int match_index_new(struct match_index **out)
{
    struct match_index *index = calloc(1, sizeof(*index));
    *out = index;
    if (!index)
        return -ENOMEM;
    list_init(&index->order);
    list_init(&index->departed);
    list_init(&index->forgotten);
    match_paths_init(&index->paths);
    int error = symbols_init(&index->symbols);
    if (!error)
        error = table_init(&index->shapes);
    if (!error)
        error = table_init(&index->patterns);
    if (!error)
        error = table_init(&index->rules);
    if (error) {
        match_index_free(index);
        *out = NULL;
    }
    return error;
}

uint32_t match_index_count(const struct match_index *index)
{
    return index->count;
}

uint32_t match_index_eavesdroppers(const struct match_index *index)
{
    return index->eavesdroppers;
}

static struct hash form_hash(const struct match_index *index, const struct match_form *form)
{
    struct span bytes = {(const char *)form, sizeof(*form)};
    return hash_text(&index->shapes.key, bytes);
}

/* Finds or creates the shape of a form. NULL: no memory. */
static struct match_shape *shape_get(struct match_index *index, const struct match_form *form)
{
    struct hash hash = form_hash(index, form);
    for (struct table_node *node = table_first(&index->shapes, hash); node; node = table_again(node)) {
        struct match_shape *shape = CONTAINER_OF(node, struct match_shape, node);
        if (memcmp(&shape->form, form, sizeof(*form)) == 0)
            return shape;
    }
    struct match_shape *shape = calloc(1, sizeof(*shape));
    if (!shape)
        return NULL;
    shape->form = *form;
    list_init(&shape->patterns);
    list_append(&index->order, &shape->in_index);
    table_insert(&index->shapes, &shape->node, hash);
    return shape;
}

static void shape_drop_if_empty(struct match_index *index, struct match_shape *shape)
{
    if (shape->count)
        return;
    table_remove(&index->shapes, &shape->node);
    list_unlink(&shape->in_index);
    free(shape);
}

static struct hash pattern_hash(const struct match_index *index, const struct match_shape *shape,
                                struct symbol *const *values)
{
    struct hash hash = match_hash_start(shape);
    for (unsigned i = 0; i < shape->form.n; i++)
        hash = match_hash_next(index, hash, values[i]);
    return hash;
}

struct match_pattern *match_index_pattern(const struct match_index *index, const struct match_shape *shape,
                                          struct symbol *const *values, struct hash hash)
{
    for (struct table_node *node = table_first(&index->patterns, hash); node; node = table_again(node)) {
        struct match_pattern *pattern = CONTAINER_OF(node, struct match_pattern, node);
        if (pattern->shape == shape && memcmp(pattern->values, values, shape->form.n * sizeof(*values)) == 0)
            return pattern;
    }
    return NULL;
}

static void values_release(struct match_index *index, struct match_pattern *pattern)
{
    for (unsigned i = 0; i < pattern->form.n; i++)
        symbols_release(&index->symbols, pattern->values[i]);
}

static void lengths_add(struct match_lengths *lengths, uint32_t n)
{
    lengths->bits[n / 64] |= UINT64_C(1) << (n % 64);
}

/* Registers a symbol as a value of a key. */
static void value_enter(struct match_index *index, uint8_t key, struct symbol *value)
{
    if (key == KEY_PATH_NAMESPACE)
        lengths_add(&index->path_namespaces, value->size);
    if (key < KEY_ARGS)
        return;
    if (match_arg_kind(key) == ARG_NAMESPACE)
        lengths_add(&index->arg_namespaces, value->size);
    if (match_arg_kind(key) == ARG_PATH) {
        lengths_add(&index->arg_paths, value->size);
        match_paths_add(&index->paths, value);
    }
}

static void value_leave(struct match_index *index, uint8_t key, struct symbol *value)
{
    if (match_key_is_path(key))
        match_paths_remove(&index->paths, value);
}

static void pattern_enter(struct match_index *index, struct match_pattern *pattern, struct match_shape *shape,
                          struct hash hash)
{
    struct match_mention *mention = match_pattern_mentions(pattern);
    for (unsigned i = 0; i < pattern->form.n; i++) {
        value_enter(index, pattern->form.keys[i], pattern->values[i]);
        if (!match_value_is_unique(pattern, i))
            continue;
        mention->pattern = pattern;
        list_append(&pattern->values[i]->mentions, &mention->in_symbol);
        mention++;
    }
    pattern->shape = shape;
    shape->count++;
    list_append(&shape->patterns, &pattern->in_shape);
    table_insert(&index->patterns, &pattern->node, hash);
}

static void pattern_drop(struct match_index *index, struct match_pattern *pattern)
{
    struct match_mention *mention = match_pattern_mentions(pattern);
    for (unsigned i = 0; i < pattern->form.n; i++) {
        value_leave(index, pattern->form.keys[i], pattern->values[i]);
        if (match_value_is_unique(pattern, i))
            list_unlink(&mention++->in_symbol);
    }
    table_remove(&index->patterns, &pattern->node);
    list_unlink(&pattern->in_shape);
    pattern->shape->count--;
    shape_drop_if_empty(index, pattern->shape);
    values_release(index, pattern);
    free(pattern);
}

static void list_enter(struct match_list *list, struct match_rule *rule)
{
    rule->list = list;
    rule->next = NULL;
    rule->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = rule;
    list->last = rule;
    list->memory += match_rule_memory(rule);
}

static void list_leave(struct match_list *list, struct match_rule *rule)
{
    *(rule->previous ? &rule->previous->next : &list->first) = rule->next;
    *(rule->next ? &rule->next->previous : &list->last) = rule->previous;
    list->memory -= match_rule_memory(rule);
}

static void rule_drop(struct match_index *index, struct match_rule *rule)
{
    struct match_pattern *pattern = rule->pattern;
    table_remove(&index->rules, &rule->node);
    list_unlink(&rule->in_pattern);
    if (list_empty(&pattern->rules))
        pattern_drop(index, pattern);
    free(rule);
}

/* Counts more copies, unless the owner has departed. */
static void rule_count(struct match_index *index, struct match_rule *rule, int64_t more)
{
    uint32_t n = (uint32_t)more, eavesdroppers = rule->pattern->form.eavesdrop ? n : 0;
    rule->copies += n;
    rule->list->count += n;
    rule->list->eavesdroppers += eavesdroppers;
    if (!rule->list->owner)
        return;
    index->count += n;
    index->eavesdroppers += eavesdroppers;
}

static void rule_remove(struct match_index *index, struct match_rule *rule)
{
    rule_count(index, rule, -(int64_t)rule->copies);
    list_leave(rule->list, rule);
    rule_drop(index, rule);
}

struct match_list *match_list_new(void *owner)
{
    struct match_list *list = calloc(1, sizeof(*list));
    if (list)
        list->owner = owner;
    return list;
}

/* Removes one rule. False: nothing is left to remove. */
static bool sweep_one(struct match_index *index)
{
    if (!list_empty(&index->forgotten)) {
        struct list *mention = index->forgotten.next;
        struct match_pattern *pattern = CONTAINER_OF(mention, struct match_mention, in_symbol)->pattern;
        rule_remove(index, CONTAINER_OF(pattern->rules.next, struct match_rule, in_pattern));
        return true;
    }
    if (list_empty(&index->departed))
        return false;
    struct match_list *list = CONTAINER_OF(index->departed.next, struct match_list, in_departed);
    if (list->last) {
        rule_remove(index, list->last);
    } else {
        list_unlink(&list->in_departed);
        free(list);
    }
    return true;
}

bool match_index_sweep(struct match_index *index)
{
    if (match_index_is_swept(index))
        return false;
    int64_t end = clock_microseconds() + MATCH_SWEEP_TIME;
    do {
        for (int i = 0; i < SWEEP_STEPS; i++) {
            if (!sweep_one(index))
                return false;
        }
    } while (clock_microseconds() < end);
    return true;
}

bool match_index_is_swept(const struct match_index *index)
{
    return list_empty(&index->forgotten) && list_empty(&index->departed);
}

static struct hash rule_hash(const struct match_index *index, const struct match_list *list,
                             const struct match_pattern *pattern)
{
    const struct hash_key *key = &index->rules.key;
    return hash_next(key, hash_number(key, (uintptr_t)list), (uintptr_t)pattern);
}

static struct match_rule *match_index_rule_of(const struct match_index *index, const struct match_list *list,
                                              const struct match_pattern *pattern)
{
    struct table_node *node = table_first(&index->rules, rule_hash(index, list, pattern));
    for (; node; node = table_again(node)) {
        struct match_rule *rule = CONTAINER_OF(node, struct match_rule, node);
        if (rule->list == list && rule->pattern == pattern)
            return rule;
    }
    return NULL;
}

/* Returns the equal pattern of the index, or adds this one. */
static struct match_pattern *pattern_share(struct match_index *index, struct match_shape *shape,
                                           struct match_pattern *own)
{
    for (unsigned i = 0; i < own->form.n; i++)
        own->values[i] = symbols_share(&index->symbols, own->values[i]);
    struct hash hash = pattern_hash(index, shape, own->values);
    struct match_pattern *shared = match_index_pattern(index, shape, own->values, hash);
    if (!shared) {
        pattern_enter(index, own, shape, hash);
        return own;
    }
    values_release(index, own);
    free(own);
    return shared;
}

struct match_rule *match_index_add(struct match_index *index, struct match_list *list,
                                   struct match_rule *rule)
{
    if (match_paths_reserve(&index->paths, rule->pattern->form.n) != 0)
        return NULL;
    struct match_shape *shape = shape_get(index, &rule->pattern->form);
    if (!shape)
        return NULL;
    rule->pattern = pattern_share(index, shape, rule->pattern);
    struct match_rule *held = match_index_rule_of(index, list, rule->pattern);
    if (held) {
        free(rule);
        rule = held;
    } else {
        list_append(&rule->pattern->rules, &rule->in_pattern);
        list_enter(list, rule);
        table_insert(&index->rules, &rule->node, rule_hash(index, list, rule->pattern));
    }
    rule_count(index, rule, 1);
    /* so that the sweep keeps up with any rate of departing connections */
    for (int i = 0; i < 2; i++)
        sweep_one(index);
    return rule;
}

void match_index_repeat(struct match_index *index, struct match_rule *rule, uint32_t n)
{
    rule_count(index, rule, n);
}

/* The pattern in the index that equals a rule outside the index; NULL: there is none. */
static struct match_pattern *pattern_like(const struct match_index *index, const struct match_rule *like)
{
    const struct match_pattern *own = like->pattern;
    struct symbol *values[MATCH_MAX_KEYS];
    struct hash form = form_hash(index, &own->form);
    for (unsigned i = 0; i < own->form.n; i++) {
        values[i] = symbols_find(&index->symbols, symbol_span(own->values[i]));
        if (!values[i])
            return NULL;
    }
    for (struct table_node *node = table_first(&index->shapes, form); node; node = table_again(node)) {
        struct match_shape *shape = CONTAINER_OF(node, struct match_shape, node);
        if (memcmp(&shape->form, &own->form, sizeof(own->form)) == 0)
            return match_index_pattern(index, shape, values, pattern_hash(index, shape, values));
    }
    return NULL;
}

/* NULL: the list has no such rule. */
static struct match_rule *rule_like(const struct match_index *index, const struct match_list *list,
                                    const struct match_rule *like)
{
    struct match_pattern *pattern = pattern_like(index, like);
    return pattern && list ? match_index_rule_of(index, list, pattern) : NULL;
}

uint32_t match_index_copies(const struct match_index *index, const struct match_list *list,
                            const struct match_rule *like)
{
    const struct match_rule *rule = rule_like(index, list, like);
    return rule ? rule->copies : 0;
}

bool match_index_remove(struct match_index *index, struct match_list *list, const struct match_rule *like)
{
    struct match_rule *rule = rule_like(index, list, like);
    if (!rule)
        return false;
    rule_count(index, rule, -1);
    if (rule->copies == 0)
        rule_remove(index, rule);
    return true;
}

void match_index_depart(struct match_index *index, struct match_list *list)
{
    if (!list)
        return;
    index->count -= list->count;
    index->eavesdroppers -= list->eavesdroppers;
    list->owner = NULL;
    list_append(&index->departed, &list->in_departed);
}

void match_index_forget(struct match_index *index, struct span name)
{
    struct symbol *symbol = symbols_find(&index->symbols, name);
    if (symbol)
        list_move_all(&index->forgotten, &symbol->mentions);
}

const struct match_rule *match_list_next(const struct match_list *list, const struct match_rule *rule)
{
    return rule ? rule->next : list ? list->first : NULL;
}

void match_index_free(struct match_index *index)
{
    if (!index)
        return;
    while (!list_empty(&index->order)) {
        struct match_shape *shape = CONTAINER_OF(index->order.next, struct match_shape, in_index);
        struct match_pattern *pattern = CONTAINER_OF(shape->patterns.next, struct match_pattern, in_shape);
        rule_drop(index, CONTAINER_OF(pattern->rules.next, struct match_rule, in_pattern));
    }
    LIST_FOR_SAFE (at, after, &index->departed)
        free(CONTAINER_OF(at, struct match_list, in_departed));
    table_free(&index->shapes);
    table_free(&index->patterns);
    table_free(&index->rules);
    match_paths_free(&index->paths);
    symbols_free(&index->symbols);
    free(index);
}
