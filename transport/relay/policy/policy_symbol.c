/* SPDX-License-Identifier: MIT */
#include "policy/policy_internal.h"

#include <stdlib.h>

struct policy_symbol {
    struct table_node node;
    struct span text;
    uint32_t field, number;
};

static struct hash symbol_hash(const struct policy *policy, uint32_t field, struct span text)
{
    const struct hash_key *key = &policy->symbols.key;
    return hash_next(key, hash_text(key, text), field);
}

static struct policy_symbol *symbol_find(const struct policy *policy, uint32_t field, struct span text,
                                         struct hash hash)
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
    const struct policy_symbol *symbol = symbol_find(policy, field, text, symbol_hash(policy, field, text));
    return symbol ? symbol->number : POLICY_OTHER;
}

uint32_t policy_symbol_add(struct policy *policy, enum policy_field field, struct span text)
{
    struct hash hash = symbol_hash(policy, field, text);
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
    struct table_node *node;
    while ((node = table_any(&policy->symbols))) {
        table_remove(&policy->symbols, node);
        free(CONTAINER_OF(node, struct policy_symbol, node));
    }
    table_free(&policy->symbols);
}
