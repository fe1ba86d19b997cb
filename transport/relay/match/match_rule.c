/* SPDX-License-Identifier: MIT */
#include "match/match_internal.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_unique_name(uint8_t key, struct span value)
{
    return (key == KEY_SENDER || key == KEY_DESTINATION) && value.n && value.s[0] == ':';
}

bool match_value_is_unique(const struct match_pattern *pattern, unsigned i)
{
    return is_unique_name(pattern->form.keys[i], symbol_span(pattern->values[i]));
}

struct match_mention *match_pattern_mentions(struct match_pattern *pattern)
{
    return (struct match_mention *)(void *)&pattern->values[pattern->form.n];
}

static size_t pattern_size(const struct match_form *form, unsigned n_mentions)
{
    return sizeof(struct match_pattern) + form->n * sizeof(struct symbol *) +
           n_mentions * sizeof(struct match_mention);
}

static struct match_pattern *pattern_new(const struct match_form *form, const struct span *values)
{
    unsigned n_mentions = 0;
    for (unsigned i = 0; i < form->n; i++)
        n_mentions += is_unique_name(form->keys[i], values[i]);
    struct match_pattern *pattern = calloc(1, pattern_size(form, n_mentions));
    if (!pattern)
        return NULL;
    list_init(&pattern->rules);
    pattern->form = *form;
    for (unsigned i = 0; i < form->n; i++) {
        pattern->values[i] = symbol_new(values[i]);
        if (!pattern->values[i]) {
            match_pattern_free(pattern);
            return NULL;
        }
    }
    return pattern;
}

void match_pattern_free(struct match_pattern *pattern)
{
    for (unsigned i = 0; i < pattern->form.n; i++)
        free(pattern->values[i]);
    free(pattern);
}

size_t match_pattern_memory(const struct match_pattern *pattern)
{
    unsigned n_mentions = 0;
    size_t bytes = 0;
    for (unsigned i = 0; i < pattern->form.n; i++) {
        n_mentions += match_value_is_unique(pattern, i);
        bytes += sizeof(struct symbol) + pattern->values[i]->size + 1;
        bytes += match_key_is_path(pattern->form.keys[i]) ? sizeof(struct match_path) : 0;
    }
    return bytes + pattern_size(&pattern->form, n_mentions);
}

struct match_rule *match_rule_new(const struct match_form *form, const struct span *values)
{
    struct match_rule *rule = calloc(1, sizeof(*rule));
    if (!rule)
        return NULL;
    rule->pattern = pattern_new(form, values);
    if (!rule->pattern) {
        free(rule);
        return NULL;
    }
    return rule;
}

void match_rule_free(struct match_rule *rule)
{
    if (!rule)
        return;
    match_pattern_free(rule->pattern);
    free(rule);
}

bool match_rule_equal(const struct match_rule *a, const struct match_rule *b)
{
    const struct match_pattern *p = a->pattern, *q = b->pattern;
    if (p == q)
        return true;
    if (memcmp(&p->form, &q->form, sizeof(p->form)) != 0)
        return false;
    for (unsigned i = 0; i < p->form.n; i++) {
        if (!span_equal(symbol_span(p->values[i]), symbol_span(q->values[i])))
            return false;
    }
    return true;
}

uint32_t match_rule_copies(const struct match_rule *rule)
{
    return rule->copies;
}

bool match_rule_eavesdrops(const struct match_rule *rule)
{
    return rule->pattern->form.eavesdrop;
}

bool match_rule_takes_broadcasts(const struct match_rule *rule, struct span *sender)
{
    const struct match_pattern *pattern = rule->pattern;
    *sender = (struct span){0};
    for (unsigned i = 0; i < pattern->form.n; i++) {
        if (pattern->form.keys[i] == KEY_DESTINATION)
            return false;
        if (pattern->form.keys[i] == KEY_SENDER)
            *sender = symbol_span(pattern->values[i]);
    }
    return pattern->form.type == 0 || pattern->form.type == MESSAGE_SIGNAL;
}

void match_rule_set_eavesdrop(struct match_rule *rule)
{
    rule->pattern->form.eavesdrop = true;
}

size_t match_rule_memory(const struct match_rule *rule)
{
    return sizeof(*rule) + match_pattern_memory(rule->pattern);
}

struct writing {
    char *out;
    size_t size, n; /* n includes what did not fit */
};

static void match_rule_put(struct writing *w, struct span text)
{
    if (w->n < w->size)
        memcpy(w->out + w->n, text.s, text.n < w->size - w->n ? text.n : w->size - w->n);
    w->n += text.n;
}

/*
 * A quoted text cannot contain an apostrophe: the quote is closed, the apostrophe escaped, the quote
 * reopened.
 */
static void put_pair(struct writing *w, struct span key, struct span value)
{
    if (w->n)
        match_rule_put(w, SPAN(","));
    match_rule_put(w, key);
    match_rule_put(w, SPAN("='"));
    for (uint32_t i = 0; i < value.n; i++)
        match_rule_put(w, value.s[i] == '\'' ? SPAN("'\\''") : (struct span){value.s + i, 1});
    match_rule_put(w, SPAN("'"));
}

_Static_assert(KEY_ARGS == 6 && ARG_KINDS == ARG_NAMESPACE + 1, "each key needs a name here");

static void put_value(struct writing *w, uint8_t key, struct span value)
{
    static const char *const names[] = {
        [KEY_INTERFACE] = "interface",           [KEY_MEMBER] = "member", [KEY_PATH] = "path",
        [KEY_PATH_NAMESPACE] = "path_namespace", [KEY_SENDER] = "sender", [KEY_DESTINATION] = "destination",
    };
    static const char *const endings[] = {
        [ARG_STRING] = "",
        [ARG_PATH] = "path",
        [ARG_NAMESPACE] = "namespace",
    };
    if (key < KEY_ARGS) {
        put_pair(w, span_of(names[key]), value);
        return;
    }
    char name[sizeof("arg63namespace")];
    int n = snprintf(name, sizeof(name), "arg%u%s", match_arg_number(key), endings[match_arg_kind(key)]);
    put_pair(w, (struct span){name, (uint32_t)n}, value);
}

size_t match_rule_text(const struct match_rule *rule, char *out, size_t size)
{
    static const char *const types[] = {NULL, "method_call", "method_return", "error", "signal"};
    const struct match_pattern *pattern = rule->pattern;
    struct writing w = {.out = out, .size = size ? size - 1 : 0};
    unsigned i = 0;
    if (pattern->form.type)
        put_pair(&w, SPAN("type"), span_of(types[pattern->form.type]));
    for (; i < pattern->form.n && pattern->form.keys[i] < KEY_ARGS; i++)
        put_value(&w, pattern->form.keys[i], symbol_span(pattern->values[i]));
    if (pattern->form.eavesdrop)
        put_pair(&w, SPAN("eavesdrop"), SPAN("true"));
    for (; i < pattern->form.n; i++)
        put_value(&w, pattern->form.keys[i], symbol_span(pattern->values[i]));
    if (size)
        out[w.n < size ? w.n : size - 1] = '\0';
    return w.n;
}
