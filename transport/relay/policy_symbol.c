/* SPDX-License-Identifier: MIT */
#include "policy_internal.h"

#include <stdlib.h>

struct policy_symbol {
    struct table_node node;
    struct span text;
    uint32_t field, number;
};

static uint64_t load(const char *at, uint32_t n)
{
    uint64_t word = 0;
    memcpy(&word, at, n);
    return word;
}

/*
 * The ends and the middle, however long the text: messages are looked up by it,
 * and only what the administrator wrote is ever in a chain.
 */
static uint64_t symbol_hash(uint32_t field, struct span text)
{
    uint64_t first = 0, middle = 0, last = 0;
    if (text.n >= 8) {
        first = load(text.s, 8);
        middle = load(text.s + (text.n - 8) / 2, 8);
        last = load(text.s + text.n - 8, 8);
    } else if (text.n >= 4) {
        first = load(text.s, 4);
        last = load(text.s + text.n - 4, 4);
    } else if (text.n > 0) {
        first = (uint8_t)text.s[0];
        middle = (uint8_t)text.s[text.n / 2];
        last = (uint8_t)text.s[text.n - 1];
    }
    uint64_t h = (first ^ field) * 0x9e3779b97f4a7c15u ^ (middle ^ text.n) * 0xbf58476d1ce4e5b9u ^
                 last * 0x94d049bb133111ebu;
    return h ^ (h >> 32);
}

static struct policy_symbol *symbol_find(const struct policy *policy, uint32_t field, struct span text,
                                         uint64_t hash)
{
    struct table_node *node = table_first(&policy->symbols, hash);
    for (; node; node = table_again(node)) {
        struct policy_symbol *symbol = CONTAINER_OF(node, struct policy_symbol, node);
        if (symbol->field == field && span_equal(symbol->text, text))
            return symbol;
    }
    return NULL;
}

uint32_t policy_symbol_find(const struct policy *policy, enum policy_field field, struct span text)
{
    const struct policy_symbol *symbol = symbol_find(policy, field, text, symbol_hash(field, text));
    return symbol ? symbol->number : POLICY_OTHER;
}

uint32_t policy_symbol_add(struct policy *policy, enum policy_field field, struct span text)
{
    uint64_t hash = symbol_hash(field, text);
    struct policy_symbol *symbol = symbol_find(policy, field, text, hash);
    if (symbol)
        return symbol->number;
    symbol = malloc(sizeof(*symbol));
    if (!symbol)
        return POLICY_ABSENT;
    symbol->text = text;
    symbol->field = field;
    symbol->number = POLICY_OTHER + 1 + policy->symbols.count;
    policy->uses[field]++;
    table_insert(&policy->symbols, &symbol->node, hash);
    return symbol->number;
}

void policy_symbols_free(struct policy *policy)
{
    if (!policy->symbols.buckets)
        return;
    for (struct table_node *node = table_walk(&policy->symbols, NULL), *next; node; node = next) {
        next = table_walk(&policy->symbols, node);
        free(CONTAINER_OF(node, struct policy_symbol, node));
    }
    table_free(&policy->symbols);
}
