/* SPDX-License-Identifier: MIT */
#include "base/symbol.h"

#include <stdlib.h>

int symbols_init(struct symbols *symbols)
{
    symbols->longest = 0;
    return table_init(&symbols->table);
}

void symbols_free(struct symbols *symbols)
{
    table_free(&symbols->table);
}

static struct symbol *find(const struct symbols *symbols, struct span text, struct hash hash)
{
    for (struct table_node *node = table_first(&symbols->table, hash); node; node = table_again(node)) {
        struct symbol *symbol = CONTAINER_OF(node, struct symbol, node);
        if (span_equal(symbol_span(symbol), text))
            return symbol;
    }
    return NULL;
}

struct symbol *symbols_find(const struct symbols *symbols, struct span text)
{
    if (!text.s || text.n > symbols->longest)
        return NULL;
    return find(symbols, text, hash_text(&symbols->table.key, text));
}

struct symbol *symbol_new(struct span text)
{
    struct symbol *symbol = malloc(sizeof(*symbol) + (size_t)text.n + 1);
    if (!symbol)
        return NULL;
    *symbol = (struct symbol){.references = 1, .size = text.n};
    list_init(&symbol->mentions);
    memcpy(symbol->text, text.s, text.n);
    symbol->text[text.n] = '\0';
    return symbol;
}

struct symbol *symbols_share(struct symbols *symbols, struct symbol *own)
{
    struct hash hash = hash_text(&symbols->table.key, symbol_span(own));
    struct symbol *shared = find(symbols, symbol_span(own), hash);
    if (shared) {
        shared->references++;
        free(own);
        return shared;
    }
    if (own->size > symbols->longest)
        symbols->longest = own->size;
    table_insert(&symbols->table, &own->node, hash);
    return own;
}

void symbols_release(struct symbols *symbols, struct symbol *symbol)
{
    if (--symbol->references > 0)
        return;
    table_remove(&symbols->table, &symbol->node);
    free(symbol);
    if (symbols->table.count == 0)
        symbols->longest = 0;
}
